//! Kills the server at random, and starts it again.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use sessions_tests::mysql::MySql;
use sessions_tests::postgres::Postgres;
use sessions_tests::redis::RedisServer;

use crate::measure::{Fault, Meter};
use crate::victim::Victim;

/// What is killed.
pub(crate) enum Server {
    MySql(MySql),
    Postgres(Postgres),
    Redis(RedisServer),
    Sqlite(Victim),
}

impl Server {
    fn kill(&mut self) {
        match self {
            Self::MySql(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
            Self::Redis(server) => server.kill(),
            Self::Sqlite(victim) => victim.kill(),
        }
    }

    fn start(&mut self) {
        match self {
            Self::MySql(server) => server.run(),
            Self::Postgres(server) => server.run(),
            Self::Redis(server) => server.start_again(),
            Self::Sqlite(victim) => victim.start(),
        }
    }
}

/// Between `calm` and the last part of the run, faults at random times. Returns the server, which runs.
pub(crate) fn run(
    mut server: Server,
    meter: &Arc<Meter>,
    calm: Duration,
    length: Duration,
) -> (Server, Vec<Fault>) {
    let last = length - (length / 10).max(Duration::from_secs(12));
    let mut random = rand::rng();
    let mut faults = Vec::new();
    let longest = (length.as_secs_f64() / 15.0).max(14.0);
    std::thread::sleep(calm.saturating_sub(meter.now()));
    loop {
        let pause = Duration::from_secs_f64(random.random_range(8.0..longest));
        if meter.now() + pause > last {
            std::thread::sleep(length.saturating_sub(meter.now()));
            return (server, faults);
        }
        std::thread::sleep(pause);
        let killed = meter.now();
        server.kill();
        std::thread::sleep(Duration::from_millis(random.random_range(0..3_000)));
        server.start();
        faults.push(Fault { killed, up: meter.now() });
    }
}
