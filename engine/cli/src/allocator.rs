//! How glibc keeps memory that was given back.

/// One heap for all threads, whose end stays with the process until a stage is over. With a heap for each thread, tensors
/// that one thread gave back stay with it while another takes new memory: a calibrated pass then held nearly twice as
/// much. And where the end of the heap goes back to the system with every batch, a training step spends a third of its
/// time on getting it again. Has to come before any thread is started.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "glibc has no other way to be told")]
pub fn configure() {
    /// The largest that glibc takes: tensors of more have memory of their own.
    const OWN_MEMORY: libc::c_int = 32 << 20;
    /// More than a training step gives back.
    const KEPT: libc::c_int = 1 << 30;
    let settings = [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, OWN_MEMORY), (libc::M_TRIM_THRESHOLD, KEPT)];
    for (setting, value) in settings {
        // SAFETY: It sets a number in glibc, and no other thread runs yet. Where it is refused, more memory is held.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Other allocators keep no heap a thread.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn configure() {}
