//! PostgreSQL.

use std::time::Duration;

use sessions::Store;
use sessions_postgres::PostgresProvider;
use sessions_tests::postgres::{Postgres, sql};
use sessions_tests::process::signal;
use sessions_tests::proxy::Proxy;
use tokio::time::sleep;

use crate::check::Check;
use crate::hosts::Host;

const SECOND: Duration = Duration::from_secs(1);

/// The processes of the server that listen for changes.
const LISTENERS: &str = "SELECT pid FROM pg_stat_activity \
    WHERE query LIKE '%pg_is_in_recovery%' AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_hosts_serve_nothing_that_has_ended() {
    let server = Postgres::start(&[]);
    let direct = PostgresProvider::connect(&server.url()).await.unwrap();
    direct.create_table().await.unwrap();
    let store = Store::new(direct);
    let (mut hosts, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await;
        let url = server.url().replace(
            &format!("127.0.0.1:{}", server.port()),
            &format!("127.0.0.1:{}", proxy.address.port()),
        );
        hosts.push(Host::start(&url, ""));
        proxies.push(proxy);
    }
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let check = Check::new(&addresses);
    let faults = async {
        sleep(4 * SECOND).await;
        assert_eq!(listeners(&server).len(), 3, "one connection for each host");
        for _ in 0..2 {
            // The feeds are cut.
            let _ = sql(
                &server.url(),
                &format!("SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) it"),
            );
            sleep(2 * SECOND).await;
        }
        // The feed of one host stalls in the server, and all else goes on.
        let stalled = listeners(&server)[0];
        signal(stalled, "STOP");
        sleep(6 * SECOND).await;
        signal(stalled, "CONT");
        sleep(2 * SECOND).await;
        // One host's packets are dropped, in both directions.
        check.disturb(true);
        proxies[1].stall(true);
        sleep(5 * SECOND).await;
        proxies[1].stall(false);
        sleep(2 * SECOND).await;
        // The server crashes and comes back.
        server.kill();
        server.run();
        sleep(2 * SECOND).await;
        // A host crashes; what it has answered holds.
        hosts[2].kill();
        check.disturb(false);
        sleep(5 * SECOND).await;
    };
    check.run(&store, faults).await;
}

fn listeners(server: &Postgres) -> Vec<u32> {
    sql(&server.url(), LISTENERS).lines().map(|pid| pid.parse().unwrap()).collect()
}
