//! Memory that was given back.

/// Gives memory that nothing uses back to the system. glibc keeps what a pass gave back, and what looks at its model
/// next would come on top.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "glibc has no other way to be told")]
pub(crate) fn give_back() {
    // SAFETY: It touches only memory that nothing uses.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give it back themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
