//! Runs every order in which the clients' calls can reach the provider.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::world::{Start, World};

/// What a client tells the driver.
pub(crate) enum Message {
    /// It waits before a call to the provider until it is let through.
    Waits(usize, oneshot::Sender<()>),
    /// It has nothing more to do.
    Ended,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) schedules: usize,
    /// One line for each schedule that broke something.
    pub(crate) violations: Vec<String>,
}

/// Runs every schedule of these clients.
pub(crate) fn explore(start: Start, clients: &[Client]) -> Found {
    let mut found = Found { schedules: 0, violations: Vec::new() };
    let mut choices: Vec<(usize, usize)> = Vec::new();
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let order: Vec<usize> = choices.iter().map(|(chosen, _)| *chosen).collect();
        let (taken, broken) = runtime.block_on(run(start, clients, &order));
        found.schedules += 1;
        if let Some(broken) = broken {
            found.violations.push(format!("{broken} in {:?}", taken.clients));
        }
        choices = taken.choices;
        // The next order: the last choice that has an alternative takes it.
        while let Some((chosen, options)) = choices.pop() {
            if chosen + 1 < options {
                choices.push((chosen + 1, options));
                break;
            }
        }
        if choices.is_empty() {
            return found;
        }
    }
}

/// The choices that a run took, and who went at each.
struct Taken {
    choices: Vec<(usize, usize)>,
    clients: Vec<usize>,
}

async fn run(start: Start, clients: &[Client], order: &[usize]) -> (Taken, Option<String>) {
    let (sender, mut messages) = unbounded_channel();
    let world = World::new(start).await;
    let tasks: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(at, client)| tokio::spawn(world.client(at, *client, sender.clone())))
        .collect();
    let taken = drive(&world, clients.len(), order, &mut messages).await;
    let mut ends = Vec::new();
    for task in tasks {
        ends.push(task.await.expect("a client does not panic"));
    }
    (taken, world.check(clients, &ends).await.err())
}

async fn drive(
    world: &World,
    clients: usize,
    order: &[usize],
    messages: &mut UnboundedReceiver<Message>,
) -> Taken {
    let mut taken = Taken { choices: Vec::new(), clients: Vec::new() };
    let mut waiting: Vec<(usize, oneshot::Sender<()>)> = Vec::new();
    let mut ended = 0;
    loop {
        // Everybody who can run does so until it waits or ends: then the choice is complete.
        while waiting.len() + ended < clients {
            match messages.recv().await.expect("the driver keeps a sender") {
                Message::Waits(client, go) => waiting.push((client, go)),
                Message::Ended => ended += 1,
            }
        }
        if waiting.is_empty() {
            return taken;
        }
        waiting.sort_by_key(|(client, _)| *client);
        // Under a cap the keys decide between two logins of one ticket, and they are random: then
        // a run may have fewer to choose from than the one before.
        let chosen = order.get(taken.choices.len()).copied().unwrap_or(0).min(waiting.len() - 1);
        taken.choices.push((chosen, waiting.len()));
        let (client, go) = waiting.remove(chosen);
        taken.clients.push(client);
        world.tick();
        go.send(()).expect("the client waits for it");
    }
}
