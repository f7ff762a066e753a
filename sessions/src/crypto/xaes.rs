//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): AES-256-GCM with a 192-bit nonce.
//!
//! Plain GCM with random 96-bit nonces allows 2^32 messages a key (NIST SP 800-38D, section 8.3),
//! which a busy service spends in an hour. Here each nonce selects a key of its own, which allows
//! 2^80.

use aes::cipher::consts::U12;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::{Aes256Enc, Block};
use aes_gcm::{AeadInPlace, AesGcm, Key, Nonce};
use zeroize::Zeroizing;

/// The length of a key.
pub(crate) const KEY: usize = 32;
/// The length of a nonce.
pub(crate) const NONCE: usize = 24;
/// The length of a tag.
pub(crate) const TAG: usize = 16;

/// A key that is ready to seal and open. Its schedule is wiped when it is dropped.
pub(crate) struct Xaes {
    cipher: Aes256Enc,
    /// The CMAC subkey that the derivation is masked with.
    k1: Zeroizing<u128>,
}

impl Xaes {
    pub(crate) fn new(key: &[u8; KEY]) -> Self {
        let cipher = Aes256Enc::new(key.into());
        let mut block = Default::default();
        cipher.encrypt_block(&mut block);
        let l = u128::from_be_bytes(block.into());
        // Doubling in GF(2^128): the top bit selects the reduction without a branch.
        let k1 = Zeroizing::new((l << 1) ^ ((l >> 127) * 0x87));
        Self { cipher, k1 }
    }

    /// Encrypts `data` in place and returns the tag.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], data: &mut [u8]) -> [u8; TAG] {
        let key = self.derive(nonce);
        let nonce = Nonce::from_slice(&nonce[12..]);
        match cipher(&key).encrypt_in_place_detached(nonce, aad, data) {
            Ok(tag) => tag.into(),
            // GCM refuses only data or additional data of 64 GiB and more.
            Err(_) => unreachable!("a token or a wrapped key is shorter than 64 GiB"),
        }
    }

    /// Decrypts `data` in place if the tag is right; otherwise leaves it as it was.
    #[must_use]
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG],
    ) -> bool {
        let key = self.derive(nonce);
        let nonce = Nonce::from_slice(&nonce[12..]);
        cipher(&key).decrypt_in_place_detached(nonce, aad, data, tag.into()).is_ok()
    }

    /// The key for AES-256-GCM, which goes with the second half of the nonce.
    fn derive(&self, nonce: &[u8; NONCE]) -> Zeroizing<[u8; KEY]> {
        let mut half = [0; 16];
        half[4..].copy_from_slice(&nonce[..12]);
        let masked = u128::from_be_bytes(half) ^ *self.k1;
        let mut key = Zeroizing::new([0; KEY]);
        // A counter, "X" and a zero byte stand before the half nonce.
        for (half, prefix) in key.chunks_exact_mut(16).zip([0x0001_5800_u128, 0x0002_5800]) {
            half.copy_from_slice(&(masked ^ prefix << 96).to_be_bytes());
            self.cipher.encrypt_block(Block::from_mut_slice(half));
        }
        key
    }
}

/// Only the encryption schedule is expanded: GCM never decrypts a block.
fn cipher(key: &[u8; KEY]) -> AesGcm<Aes256Enc, U12> {
    AesGcm::new(Key::<AesGcm<Aes256Enc, U12>>::from_slice(key))
}

#[cfg(test)]
mod tests {
    use sha3::digest::{ExtendableOutput, Update, XofReader};

    use super::*;

    const N: &[u8; NONCE] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn check_vector(key: u8, aad: &[u8], k1: &str, kx: &str, sealed: &str) {
        let xaes = Xaes::new(&[key; KEY]);
        assert_eq!(hex(&xaes.k1.to_be_bytes()), k1);
        assert_eq!(hex(&*xaes.derive(N)), kx);
        let mut data = *b"XAES-256-GCM";
        let tag = xaes.seal(N, aad, &mut data);
        assert_eq!(hex(&data) + &hex(&tag), sealed);
        assert!(xaes.open(N, aad, &mut data, &tag));
        assert_eq!(&data, b"XAES-256-GCM");
        assert!(!xaes.open(N, b"other", &mut data, &tag));
        assert_eq!(&data, b"XAES-256-GCM", "refused data is left as it was");
    }

    #[test]
    fn c2sp_vector_with_the_top_bit_set() {
        check_vector(
            1,
            b"",
            "e531954aca063d5b8d9c47a47d4cc6f0",
            "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        );
    }

    #[test]
    fn c2sp_vector_with_additional_data() {
        check_vector(
            3,
            b"c2sp.org/XAES-256-GCM",
            "23810ec50edb99f374409466ed1f4b7b",
            "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        );
    }

    #[test]
    fn what_holds_a_key_is_wiped_when_it_is_dropped() {
        // Compiles only while the cipher's crates are built to do so.
        fn wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        let xaes = Xaes::new(&[1; KEY]);
        wiped(&xaes.cipher);
        wiped(&xaes.k1);
        wiped(&xaes.derive(N));
    }

    /// The accumulated test of the specification: random keys, nonces, plaintexts and additional
    /// data of 0 to 255 bytes, every output hashed.
    fn accumulated(rounds: u32) -> String {
        let mut source = sha3::Shake128::default().finalize_xof();
        let mut outputs = sha3::Shake128::default();
        for _ in 0..rounds {
            let (mut key, mut nonce) = ([0; KEY], [0; NONCE]);
            source.read(&mut key);
            source.read(&mut nonce);
            let [mut data, aad] = [(); 2].map(|()| {
                let mut length = [0];
                source.read(&mut length);
                let mut bytes = vec![0; usize::from(length[0])];
                source.read(&mut bytes);
                bytes
            });
            let xaes = Xaes::new(&key);
            let plain = data.clone();
            let tag = xaes.seal(&nonce, &aad, &mut data);
            outputs.update(&data);
            outputs.update(&tag);
            assert!(xaes.open(&nonce, &aad, &mut data, &tag));
            assert_eq!(data, plain);
        }
        let mut hash = [0; 32];
        outputs.finalize_xof().read(&mut hash);
        hex(&hash)
    }

    /// The million takes a minute without optimisation.
    #[test]
    fn accumulated_hash_of_ten_thousand_rounds_and_of_a_million_where_asked_for() {
        let hash = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939";
        assert_eq!(accumulated(10_000), hash);
        if std::env::var_os("SESSIONS_LONG_TESTS").is_none() {
            println!("10 000 rounds ran; SESSIONS_LONG_TESTS is not set, so the million did not");
            return;
        }
        let hash = "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15";
        assert_eq!(accumulated(1_000_000), hash);
        println!("10 000 rounds and a million ran");
    }
}
