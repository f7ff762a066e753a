//! The databases that are a server each, behind a feature each.

use std::error::Error;
use std::sync::Arc;

use sessions::provider::Provider;

/// A kind of server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: &'static str,
    /// What its URLs begin with.
    schemes: &'static [&'static str],
    feature: &'static str,
}

const SERVERS: [Server; 3] = [
    Server { name: "PostgreSQL", schemes: &["postgres", "postgresql"], feature: "postgres" },
    Server { name: "Redis", schemes: &["redis", "rediss"], feature: "redis" },
    Server { name: "DynamoDB", schemes: &["dynamodb"], feature: "dynamodb" },
];

/// The features that this program was built with.
pub(super) const BUILT: &[&str] = &[];

/// The server whose URLs begin with this.
pub(super) fn by_scheme(scheme: &str) -> Option<&'static Server> {
    SERVERS.iter().find(|server| server.schemes.contains(&scheme))
}

impl Server {
    /// Whether the program can talk to it; otherwise what to do.
    pub(super) fn check_built(&self, features: &[&str]) -> Result<(), String> {
        let Self { name, feature, .. } = self;
        if features.contains(feature) {
            return Ok(());
        }
        Err(format!(
            "this shop was built without {name}; start it with \
             `cargo run --example shop --features {feature} -- --store ...`"
        ))
    }
}

/// Opens what a URL names, and creates what it lacks.
pub(super) async fn open(server: &Server, url: &str) -> Result<Arc<dyn Provider>, Box<dyn Error>> {
    let _ = url;
    unreachable!("{}", server.feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_the_program_was_built_without_names_its_feature() {
        let schemes = ["postgres", "postgresql", "redis", "rediss", "dynamodb"];
        for (scheme, feature) in
            schemes.into_iter().zip(["postgres", "postgres", "redis", "redis", "dynamodb"])
        {
            let server = by_scheme(scheme).unwrap();
            let error = server.check_built(&["another"]).unwrap_err();
            assert!(error.contains(&format!("--features {feature}")), "{error}");
            assert_eq!(server.check_built(&[feature]), Ok(()));
        }
        assert_eq!(by_scheme("mysql"), None);
    }
}
