//! Where do large arrays lie? In memory of their own, which goes back to the system with them and grows without a copy.
//!
//! glibc maps memory for one array alone where that has 128 KiB and more. But whenever such a one is freed it takes from then on arrays of up to that
//! size from its heaps (mallopt(3), `M_MMAP_THRESHOLD`): each thread has its own, what is freed in them stays, and an array that grows is copied. So
//! what a verb does one after the other was in memory all at once. Arrays of more than 32 MiB are always mapped, and pages of them that nobody writes
//! to take nothing.

/// More than what glibc takes from a heap.
const OWN: usize = 33 << 20;
/// Smaller ones are not worth a mapping.
const LARGE: usize = 1 << 20;

/// Makes room for so many more.
pub(crate) fn reserve<T>(array: &mut Vec<T>, more: usize) {
    let wanted = array.len().saturating_add(more);
    if wanted <= array.capacity() {
        return;
    }
    let least = match wanted.saturating_mul(size_of::<T>()) < LARGE {
        true => 0,
        false => OWN / size_of::<T>(),
    };
    array.reserve(wanted.max(least) - array.len());
}

/// Room for so many.
pub(crate) fn of<T>(count: usize) -> Vec<T> {
    let mut array = Vec::new();
    reserve(&mut array, count);
    array
}

/// So many times this.
pub(crate) fn filled<T: Copy>(with: T, count: usize) -> Vec<T> {
    let mut array = of(count);
    array.resize(count, with);
    array
}

/// Makes an array longer, up to so many.
pub(crate) fn fill<T: Copy>(array: &mut Vec<T>, with: T, count: usize) {
    reserve(array, count.saturating_sub(array.len()));
    array.resize(count, with);
}

/// A copy.
pub(crate) fn copied<T: Copy>(array: &[T]) -> Vec<T> {
    let mut copy = of(array.len());
    copy.extend_from_slice(array);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_arrays_are_larger_than_what_a_heap_gives() {
        let least = |array: &Vec<u64>| array.capacity() * size_of::<u64>() > 32 << 20;
        let small = of::<u64>(LARGE / 8 - 1);
        assert!(!least(&small), "{}", small.capacity());
        let mut large = of(LARGE / 8);
        assert!(least(&large), "{}", large.capacity());
        fill(&mut large, 7, 10);
        assert_eq!(large, [7; 10]);
        assert!(least(&filled(0_u64, LARGE / 8)));
        assert!(least(&copied(&vec![0_u64; LARGE / 8])));
        let mut grown = vec![1_u64; 100];
        reserve(&mut grown, LARGE / 8);
        assert!(least(&grown));
        assert_eq!(grown, [1; 100]);
    }
}
