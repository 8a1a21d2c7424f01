//! The metadata of the events of a guest's socket: `config` and `device` (both servers' daemon and agent).

use super::json::{Text, Value};

/// A configuration key of the instance has changed. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    metadata: Value<'a>,
}

/// A device of the instance was added, removed or changed. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    metadata: Value<'a>,
}

impl<'a> Setting<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// The key, such as `user.x`.
    #[must_use]
    pub fn key(&self) -> Option<Text<'a>> {
        self.metadata.get_text("key")
    }

    /// The value before. It is empty if the key was not set.
    #[must_use]
    pub fn old_value(&self) -> Option<Text<'a>> {
        self.metadata.get_text("old_value")
    }

    /// The value now. It is empty if the key is no longer set.
    #[must_use]
    pub fn value(&self) -> Option<Text<'a>> {
        self.metadata.get_text("value")
    }
}

impl<'a> Device<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// `added`, `removed` or `updated`.
    #[must_use]
    pub fn action(&self) -> Option<Text<'a>> {
        self.metadata.get_text("action")
    }

    /// The name of the device.
    #[must_use]
    pub fn name(&self) -> Option<Text<'a>> {
        self.metadata.get_text("name")
    }

    /// The configuration of the device.
    #[must_use]
    pub fn config(&self) -> Option<Value<'a>> {
        self.metadata.get("config")
    }

    /// The type of the device, such as `nic`.
    #[must_use]
    pub fn device_type(&self) -> Option<Text<'a>> {
        self.config()?.get_text("type")
    }
}
