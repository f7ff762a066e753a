//! The keys, below a prefix.

/// Where no prefix was set.
pub(crate) const DEFAULT_PREFIX: &str = "sessions";

/// The id and the owner of the record that shows what the server permits, and whether it reports
/// changes.
pub(crate) const PROBE: &str = "probe";

/// Every key begins with the prefix and a colon.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

/// An owner's two sorted sets, in one slot of a cluster.
#[derive(Debug)]
pub(crate) struct OwnerKeys {
    /// The ids, in their order: every score is 0.
    pub(crate) ids: String,
    /// The ids, each scored by when it may be forgotten.
    pub(crate) until: String,
}

impl Keys {
    /// `None` unless the prefix has 1 to 64 ASCII letters, digits, and `-`, `_`, `.`, `:`, `/`:
    /// what begins neither a hash tag nor a pattern.
    pub(crate) fn new(prefix: &str) -> Option<Self> {
        let plain = (1..=64).contains(&prefix.len())
            && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte));
        plain.then(|| Self { prefix: prefix.to_owned() })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn record(&self, id: &str) -> String {
        format!("{}:record:{id}", self.prefix)
    }

    /// The part in braces decides the slot. It begins with a word, as an empty one would not count,
    /// and ends at the first brace, also where the owner has one.
    pub(crate) fn owner(&self, owner: &str) -> OwnerKeys {
        let key = |set| format!("{}:{{owner:{owner}}}:{set}", self.prefix);
        OwnerKeys { ids: key("ids"), until: key("until") }
    }

    /// The pattern of all records.
    pub(crate) fn records(&self) -> String {
        self.record("*")
    }

    pub(crate) fn pattern(&self) -> String {
        format!("{}:*", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_prefixes() {
        for prefix in ["sessions", "a", "shop:v1/x-y_z.0", &"x".repeat(64)] {
            assert!(Keys::new(prefix).is_some(), "{prefix}");
        }
        for prefix in
            ["", "a b", "a{b", "a}", "a*", "a?", "a[b", "a\\", "ä", "a\n", &"x".repeat(65)]
        {
            assert!(Keys::new(prefix).is_none(), "{prefix:?}");
        }
    }

    #[test]
    fn keys_are_readable_and_never_those_of_another() {
        let keys = Keys::new("shop").unwrap();
        assert_eq!(keys.record("abc"), "shop:record:abc");
        assert_eq!(keys.owner("shop/visitor/7").ids, "shop:{owner:shop/visitor/7}:ids");
        let mut all = std::collections::BTreeSet::new();
        for name in ["a", "a}:ids", "a}:until", "}", "{", "", "{owner:a}:ids", "a}:ids}:ids"] {
            let owner = keys.owner(name);
            for key in [keys.record(name), owner.ids, owner.until] {
                assert!(key.starts_with("shop:"));
                assert!(all.insert(key));
            }
        }
    }
}
