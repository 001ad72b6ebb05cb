//! Secrets.

use std::fmt;

/// A secret that shows itself in no output.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Take the key from an environment variable; `None` where it is not set or empty.
    pub fn from_environment(variable: &str) -> Option<Self> {
        Self::new(&std::env::var(variable).ok()?)
    }

    /// Keep a key that was read elsewhere; `None` where it is empty.
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim().to_owned();
        (!key.is_empty()).then_some(Self(key))
    }

    /// Strike the key from a text that others wrote.
    pub(crate) fn strike_from(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }

    /// Show the key to the client that sends it, and to nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[key]")
    }
}
