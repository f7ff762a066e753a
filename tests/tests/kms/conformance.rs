//! `KmsKey` keeps the contract of a key service, alone and as a recipient among others: two instances
//! with a client each.

mod one_key {
    use sessions::keys::conformance::Subject;
    use sessions_aws_kms::KmsKey;
    use sessions_tests::kms::{client, create_key, endpoint};

    use crate::key;

    async fn subject() -> Subject {
        let (arn, next) = (create_key().await, create_key().await);
        let other = KmsKey::new(client(endpoint().await), &arn).app("another app");
        Subject::new(key(&arn).await)
            .with_twin(key(&arn).await)
            .with_successor(key(&next).await)
            .with_stranger(other)
    }

    sessions::keys::conformance::suite!(subject);
}

mod recipients {
    use sessions::keys::conformance::Subject;
    use sessions::keys::{LocalKey, Recipients};
    use sessions_tests::kms::create_key;

    use crate::key;

    fn local(byte: u8) -> LocalKey {
        LocalKey::from_bytes([byte; 32])
    }

    async fn subject() -> Subject {
        let (arn, next) = (create_key().await, create_key().await);
        Subject::new(Recipients::new(key(&arn).await).and(local(1)))
            .with_twin(Recipients::new(key(&arn).await).and_recovery(local(1)))
            .with_successor(Recipients::new(key(&next).await).and(local(1)))
            .with_stranger(Recipients::new(local(2)).and_recovery(local(3)))
    }

    sessions::keys::conformance::suite!(subject);
}
