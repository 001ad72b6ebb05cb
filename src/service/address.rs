//! Addresses of services.

use reqwest::Url;

use crate::{Error, Result};

/// Whether an address is of this machine, so that what is sent there does not leave it.
pub fn is_this_machine(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| names_this_machine(&url))
}

pub(super) fn names_this_machine(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let ip: Option<std::net::IpAddr> = host.parse().ok();
    match ip {
        Some(ip) => ip.is_loopback() || ip.is_unspecified(),
        None => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Take the address that a service's paths are added to; `place` is the flag that gave it.
///
/// # Errors
/// [`Error::Input`] for what is no http(s) URL, holds a user or password, or would carry a key in
/// the clear to another machine.
pub(crate) fn base_address(place: &str, base_url: &str, with_key: bool) -> Result<Url> {
    let bad =
        |found: String| Error::input(place, "a URL such as https://host/v1", found, "correct it");
    let mut url = Url::parse(base_url).map_err(|error| bad(format!("{base_url:?} ({error})")))?;
    match url.scheme() {
        "https" => {}
        "http" if !with_key || names_this_machine(&url) => {}
        "http" => return Err(bad("http, on which others could read the key".to_owned())),
        other => return Err(bad(format!("the scheme {other}"))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("a URL with a user or password".to_owned()));
    }
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names_alone() {
        for url in [
            "http://localhost:11434",
            "http://127.0.0.1/v1",
            "http://127.3.2.1",
            "https://[::1]:8080/v1",
            "http://ollama.localhost",
            "http://0.0.0.0:11434",
        ] {
            assert!(is_this_machine(url), "{url}");
        }
        for url in [
            "https://api.openai.com/v1",
            "http://localhost.example.org",
            "http://notlocalhost",
            "http://128.0.0.1",
            "http://192.168.1.4",
            "http://localhost@example.org",
            "localhost:11434",
            "",
        ] {
            assert!(!is_this_machine(url), "{url}");
        }
    }
}
