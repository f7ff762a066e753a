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

const SERVERS: [Server; 4] = [
    Server { name: "MySQL", schemes: &["mysql", "mariadb"], feature: "mysql" },
    Server { name: "PostgreSQL", schemes: &["postgres", "postgresql"], feature: "postgres" },
    Server { name: "Redis", schemes: &["redis", "rediss"], feature: "redis" },
    Server { name: "DynamoDB", schemes: &["dynamodb"], feature: "dynamodb" },
];

/// The features that this program was built with.
pub(super) const BUILT: &[&str] = &[
    #[cfg(feature = "dynamodb")]
    "dynamodb",
    #[cfg(feature = "mysql")]
    "mysql",
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "redis")]
    "redis",
];

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
#[cfg_attr(
    not(any(feature = "dynamodb", feature = "mysql", feature = "postgres", feature = "redis")),
    allow(unused)
)]
pub(super) async fn open(server: &Server, url: &str) -> Result<Arc<dyn Provider>, Box<dyn Error>> {
    server.check_built(BUILT)?;
    match server.feature {
        #[cfg(feature = "dynamodb")]
        "dynamodb" => dynamodb::open(url).await,
        #[cfg(feature = "mysql")]
        "mysql" => {
            let provider = sessions_mysql::MySqlProvider::connect(url).await?;
            provider.create_table().await?;
            Ok(Arc::new(provider))
        }
        #[cfg(feature = "postgres")]
        "postgres" => {
            let provider = sessions_postgres::PostgresProvider::connect(url).await?;
            provider.create_table().await?;
            Ok(Arc::new(provider))
        }
        #[cfg(feature = "redis")]
        "redis" => Ok(Arc::new(sessions_redis::RedisProvider::connect(url).await?)),
        other => Err(format!("{other} is not wired up").into()),
    }
}

#[cfg(feature = "dynamodb")]
mod dynamodb {
    use std::error::Error;
    use std::sync::Arc;

    use sessions::provider::Provider;
    use sessions_dynamodb::DynamoDbProvider;
    use sessions_dynamodb::aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    use sessions_dynamodb::aws_sdk_dynamodb::{Client, Config};

    /// `dynamodb://TABLE?endpoint=http://localhost:8000`: a DynamoDB Local, which takes any
    /// credentials. For Amazon's own, make the client with the crate `aws-config`.
    pub(super) async fn open(url: &str) -> Result<Arc<dyn Provider>, Box<dyn Error>> {
        let place = url.trim_start_matches("dynamodb://");
        let Some((table, endpoint)) = place.split_once("?endpoint=") else {
            return Err("write dynamodb://TABLE?endpoint=http://localhost:8000".into());
        };
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("shop", "shop", None, None, "the shop"))
            .endpoint_url(endpoint)
            .build();
        let provider = DynamoDbProvider::new(Client::from_conf(config)).table(table)?;
        provider.create_table().await?;
        Ok(Arc::new(provider))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_the_program_was_built_without_names_its_feature() {
        for (scheme, feature) in [
            ("postgres", "postgres"),
            ("postgresql", "postgres"),
            ("mysql", "mysql"),
            ("mariadb", "mysql"),
            ("redis", "redis"),
            ("rediss", "redis"),
            ("dynamodb", "dynamodb"),
        ] {
            let server = by_scheme(scheme).unwrap();
            let error = server.check_built(&["another"]).unwrap_err();
            assert!(error.contains(&format!("--features {feature}")), "{error}");
            assert_eq!(server.check_built(&[feature]), Ok(()));
        }
        assert_eq!(by_scheme("mongodb"), None);
    }
}
