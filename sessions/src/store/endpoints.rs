//! Where browsers register and prove the devices of a store's sessions.

use super::settings::TypeSettings;
use crate::device_binding::{DeviceBinding, Endpoint};

/// The settings of a store, one of each path. Empty if no session type binds its sessions.
#[derive(Default)]
pub(crate) struct Endpoints(Vec<DeviceBinding>);

impl Endpoints {
    pub(crate) fn of<'s>(types: impl Iterator<Item = &'s TypeSettings>) -> Self {
        let mut found: Vec<DeviceBinding> = Vec::new();
        for binding in types.map(|settings| &settings.device).filter(|it| it.is_on()) {
            let path = binding.path_of(Endpoint::Refresh);
            if !found.iter().any(|other| other.path_of(Endpoint::Refresh) == path) {
                found.push(binding.clone());
            }
        }
        Self(found)
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the endpoint at this path of a request.
    pub(crate) fn at(&self, path: &str) -> Option<Endpoint> {
        self.0.iter().find_map(|binding| binding.endpoint(path))
    }
}
