//! The binding of sessions to devices, as a store's setting.

use super::StoreBuilder;
use crate::device_binding::DeviceBinding;
use crate::error::Error;
use crate::store::settings::SessionSettings;

impl StoreBuilder {
    /// Sets whether and how sessions are bound to the device that their owner logged in on. By
    /// default they are not. The layer then answers browsers at two paths itself, so put it outside
    /// of layers that refuse requests, such as those against CSRF. The cookie must be of one host,
    /// over HTTPS, for the path `/`: [`build`](Self::build) refuses another. Needs the feature `dbsc`.
    ///
    /// ```
    /// use sessions::{DeviceBinding, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .device_binding(DeviceBinding::offer())
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "dbsc")))]
    pub fn device_binding(mut self, binding: DeviceBinding) -> Self {
        self.settings = self.settings.device_binding(binding);
        self
    }

    pub(super) fn check_device(&self) -> Result<(), Error> {
        let own = self.types.iter().map(|(_, _, own)| own.over(&self.settings));
        let plain = [SessionSettings::default().over(&self.settings)];
        if self.client_side && own.chain(plain).any(|it| it.device.is_on()) {
            return Err(Error::config(
                "device_binding() needs records, and client_side() keeps none; drop one of them",
            ));
        }
        Ok(())
    }
}
