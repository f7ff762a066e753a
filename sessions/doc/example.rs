// The first lines of many examples in the documentation. Their hidden lines `include!` this file,
// which is not a module of the crate.

use sessions::{Error, MemoryProvider, Page, Session, Store, clock::{Clock, ManualClock}, commit::Outcome};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    visits: u32,
    notices: Vec<String>,
}

struct Example {
    store: Store,
    clock: ManualClock,
    visitor: Session<Visitor>,
}

/// A store in memory, and the session of a visitor for whom nothing is stored yet.
async fn example() -> Result<Example, Error> {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    let visitor = store.load(&http::HeaderMap::new()).await?;
    Ok(Example { store, clock, visitor })
}
