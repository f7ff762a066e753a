//! The names of KMS keys.

/// The ARN of a key, `arn:aws:kms:eu-central-1:111122223333:key/1234abcd-...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyArn<'a> {
    partition: &'a str,
    account: &'a str,
    key: &'a str,
}

impl<'a> KeyArn<'a> {
    /// Returns `None` for what is not the ARN of a key, such as an alias.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut part = || parts.next().filter(|part| part.bytes().all(is_plain));
        let (arn, partition, service) = (part()?, part()?, part()?);
        let (region, account) = (part()?, part()?);
        let key = parts.next()?.strip_prefix("key/")?;
        let right = arn == "arn" && service == "kms" && parts.next().is_none();
        let named = !partition.is_empty() && !region.is_empty() && !account.is_empty();
        let plain = !key.is_empty() && key.bytes().all(is_plain);
        (right && named && plain).then_some(Self { partition, account, key })
    }

    /// Returns the ARN of the replica in another region, if this is a key that can have one.
    pub(crate) fn in_region(&self, region: &str) -> Option<String> {
        let Self { partition, account, key, .. } = self;
        key.starts_with("mrk-").then(|| format!("arn:{partition}:kms:{region}:{account}:key/{key}"))
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab";

    #[test]
    fn only_arns_of_keys_are_parsed() {
        let arn = KeyArn::parse(ARN).expect("an ARN");
        assert_eq!((arn.account, arn.key), ("111122223333", "1234abcd-12ab"));
        assert!(KeyArn::parse("arn:aws-us-gov:kms:us-gov-west-1:1:key/mrk-1").is_some());
        for other in [
            "",
            "alias/sessions",
            "1234abcd-12ab",
            "local:AbC",
            "recipients:local:a,local:b",
            "arn:aws:kms:eu-central-1:111122223333:alias/sessions",
            "arn:aws:kms:eu-central-1:111122223333:key/",
            "arn:aws:kms::111122223333:key/1234",
            "arn:aws:s3:eu-central-1:111122223333:key/1234",
            "arn:aws:kms:eu-central-1:111122223333:key/1234:more",
            "arn:aws:kms:eu-central-1:111122223333:key/12 34",
            "arn:aws:kms:eu-central-1:111122223333:key/1234/5",
            &format!("{ARN} "),
            &format!(" {ARN}"),
            &format!("recipients:{ARN},{ARN}"),
        ] {
            assert_eq!(KeyArn::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_multi_region_key_is_in_each_region_and_another_in_one() {
        let arn = KeyArn::parse("arn:aws:kms:us-east-1:111122223333:key/mrk-1234").expect("an ARN");
        let replica = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234";
        assert_eq!(arn.in_region("eu-west-1").as_deref(), Some(replica));
        assert_eq!(KeyArn::parse(ARN).expect("an ARN").in_region("eu-west-1"), None);
    }
}
