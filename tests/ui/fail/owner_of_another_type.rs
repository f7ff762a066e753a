// "Log out everywhere" with a name, where the owner is a number.

use sessions::{MemoryProvider, Session, Store};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
}

#[derive(Session)]
#[session(name = "cart", version = 1)]
struct Cart {
    items: Vec<String>,
}

async fn log_out_everywhere(store: Store) {
    let _ = store.revoke_all::<Visitor>("ada").await;
    let _ = store.revoke_all::<Visitor>(7_i32).await;
    let _ = store.revoke_all::<Cart>(7).await;
}

fn main() {
    let _ = log_out_everywhere(Store::new(MemoryProvider::new()));
}
