//! The highest resident memory of this process since a moment, where the system keeps count.

/// Forget the peak so far.
pub(crate) fn reset() {
    // Linux forgets it when asked so (proc(5), clear_refs); elsewhere there is nothing to forget.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The peak since [`reset`], in bytes; nothing where the system does not tell.
pub(crate) fn read() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()
            .map(|kilobytes| kilobytes * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_large_array_is_noticed_and_forgotten() {
        let large = vec![1u8; 64 << 20];
        let with = super::read().unwrap();
        assert!(with > 64 << 20, "{}", large.len());
        drop(large);
        super::reset();
        assert!(super::read().unwrap() + (32 << 20) < with, "the peak was not forgotten");
    }
}
