//! Memory of large tables: reserved as addresses, and taken from the system in large pages.
//!
//! Entries are met in no order. In pages of 4 KiB, of which a processor remembers a few thousand,
//! nearly each would wait until it has been found where its page lies, and the system would be
//! asked for 512 times as many.

use kevy_madvise::advise_hugepage;

/// An empty vector with addresses for so many entries, so that none ever moves. What of it was never
/// used is no memory; where there are not as many addresses to be had, it grows as vectors do.
pub(crate) fn reserve<T>(entries: usize) -> Vec<T> {
    let mut reserved = Vec::new();
    if reserved.try_reserve_exact(entries).is_ok() {
        in_large_pages(reserved.spare_capacity_mut());
    }
    reserved
}

/// Asks for large pages where a place has none yet; what lies before the first of them, or behind the
/// last, stays in small ones, and so does a small table. Where there are none to be had, or the system
/// gives them to nobody (`never` in `/sys/kernel/mm/transparent_hugepage/enabled`), nothing changes.
pub(crate) fn in_large_pages<T>(places: &[T]) {
    advise_hugepage(places.as_ptr().cast(), size_of_val(places));
}
