//! Memory of large tables: reserved as addresses, and taken from the system in large pages.
//!
//! Entries are met in no order. In pages of 4 KiB, of which a processor remembers a few thousand,
//! nearly each would wait until it has been found where its page lies, and the system would be
//! asked for 512 times as many.

use kevy_madvise::advise_hugepage;

/// What comes in small pages before the first large one, in bytes: a table of few entries takes no
/// more than it needs.
const SMALL: usize = 2 << 20;

/// An empty vector with addresses for so many entries, so that none ever moves. What of it was never
/// used is no memory; where there are not as many addresses to be had, it grows as vectors do.
pub(crate) fn reserve<T>(entries: usize) -> Vec<T> {
    let mut reserved = Vec::new();
    if reserved.try_reserve_exact(entries).is_ok() {
        let entries = reserved.spare_capacity_mut();
        in_large_pages(entries.get(SMALL / size_of::<T>().max(1)..).unwrap_or_default());
    }
    reserved
}

/// Asks for large pages where a place has none yet. Where there are none to be had, or the system
/// gives them to nobody (`never` in `/sys/kernel/mm/transparent_hugepage/enabled`), it stays as it is.
pub(crate) fn in_large_pages<T>(places: &[T]) {
    advise_hugepage(places.as_ptr().cast(), size_of_val(places));
}
