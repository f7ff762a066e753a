//! A browser whose requests are answered by one build or another, on one database.

use sessions::provider::{Provider as _, Record};
use sessions::{Error, MemoryProvider, Session, SessionData, Store};
use sessions_tests::jar::Jar;

#[derive(Default)]
pub(crate) struct Browser {
    pub(crate) database: MemoryProvider,
    pub(crate) jar: Jar,
    pub(crate) key: Option<String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A request that this build answers.
    pub(crate) async fn try_request<T: SessionData>(
        &mut self,
        change: impl FnOnce(&mut T),
    ) -> Result<(), Error> {
        let store = Store::new(self.database.clone());
        let mut session: Session<T> = store.load(self.jar.headers()).await?;
        change(&mut session);
        let commit = session.commit().await?;
        self.jar.keep(&commit);
        self.key = session.key().map(ToString::to_string);
        Ok(())
    }

    pub(crate) async fn request<T: SessionData>(&mut self, change: impl FnOnce(&mut T)) {
        self.try_request(change).await.unwrap();
    }

    pub(crate) async fn record(&self) -> Record {
        let key = self.key.as_ref().unwrap();
        self.database.fetch(key, std::time::SystemTime::now()).await.unwrap().unwrap()
    }
}
