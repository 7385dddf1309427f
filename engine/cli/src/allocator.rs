//! How glibc keeps memory that was given back.

/// One heap for all threads. With a heap for each, tensors that one thread gave back stay with it while another takes new
/// memory: a calibrated pass then held nearly twice as much. Has to come before any thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "glibc has no other way to be told")]
pub fn share_one_heap() {
    // SAFETY: It sets a number in glibc, and no other thread runs yet. Where it is refused, more memory is held.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other allocators keep no heap a thread.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn share_one_heap() {}
