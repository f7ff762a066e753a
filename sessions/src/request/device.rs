//! The part of a framework's layer that answers browsers which register or prove a device.

use http::{HeaderMap, Method, Response};

use super::slots::Served;
use crate::store::tracker::Finish;

/// The answer of an endpoint. It is completed even if the client leaves.
pub(crate) type DeviceAnswer = Finish<Response<String>>;

impl Served {
    /// Returns the answer to a request that is the layer's own.
    pub(crate) fn answer_device(
        &self,
        method: &Method,
        path: &str,
        headers: impl FnOnce() -> HeaderMap,
    ) -> Option<DeviceAnswer> {
        let endpoint = self.store.device_endpoint(path)?;
        let (store, method, path) = (self.store.clone(), method.clone(), path.to_owned());
        let headers = headers();
        let answer = async move { store.answer_device(endpoint, &method, &path, &headers).await };
        Some(self.store.commits().track(answer))
    }
}
