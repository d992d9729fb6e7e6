//! The compression function (FIPS 180-4, 6.2.2) for blocks of two contents at once, by the processor's own instructions where it has them (SHA-NI).
//!
//! On one content an instruction waits for the one before; with two, one works while the other waits: 1.5 to 1.8 times the speed.
//!
//! This is the only place with `unsafe`, for one call: of a function that is compiled for instructions which not every processor has. That this one has
//! them is asked right before. There are no pointers in it, and what comes of it is held against `sha2` by tests.

use sha2::block_api::compress256;

use super::BLOCK;

/// Whether this processor hashes two in less time than one after the other.
pub(super) fn gains() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::is_here();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Takes as many blocks of each into its state.
pub(super) fn compress(states: [&mut [u32; 8]; 2], blocks: [&[[u8; BLOCK]]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_here() && blocks[0].len() == blocks[1].len() {
        #[allow(unsafe_code, reason = "the processor was asked whether it has these instructions")]
        unsafe {
            x86::compress(states, blocks);
        }
        return;
    }
    for (state, blocks) in states.into_iter().zip(blocks) {
        compress256(state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use super::BLOCK;

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2).
    #[rustfmt::skip]
    const ROUNDS: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    pub(super) fn is_here() -> bool {
        is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") && is_x86_feature_detected!("ssse3")
    }

    // No closures below, nor what takes them: the compiler does not always put one that is for these instructions into a function that is for all.

    /// The state in the order in which the instructions have it: two of each half in a register.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn packed(state: &[u32; 8]) -> [__m128i; 2] {
        let [a, b, c, d, e, f, g, h] = *state;
        [four(a, b, e, f), four(c, d, g, h)]
    }

    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn unpacked([abef, cdgh]: [__m128i; 2]) -> [u32; 8] {
        [
            _mm_extract_epi32::<3>(abef).cast_unsigned(),
            _mm_extract_epi32::<2>(abef).cast_unsigned(),
            _mm_extract_epi32::<3>(cdgh).cast_unsigned(),
            _mm_extract_epi32::<2>(cdgh).cast_unsigned(),
            _mm_extract_epi32::<1>(abef).cast_unsigned(),
            _mm_extract_epi32::<0>(abef).cast_unsigned(),
            _mm_extract_epi32::<1>(cdgh).cast_unsigned(),
            _mm_extract_epi32::<0>(cdgh).cast_unsigned(),
        ]
    }

    /// Four words, the highest first.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn four(a: u32, b: u32, c: u32, d: u32) -> __m128i {
        _mm_set_epi32(a.cast_signed(), b.cast_signed(), c.cast_signed(), d.cast_signed())
    }

    /// Four words of a block, which stand in it with the highest byte first.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn words(part: &[u8; 16]) -> __m128i {
        let word = u128::from_le_bytes(*part);
        let loaded = _mm_set_epi64x(((word >> 64) as u64).cast_signed(), (word as u64).cast_signed());
        _mm_shuffle_epi8(loaded, _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203))
    }

    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub(super) fn compress(states: [&mut [u32; 8]; 2], blocks: [&[[u8; BLOCK]]; 2]) {
        let [one, other] = states;
        let mut now = [packed(one), packed(other)];
        for (block, other_block) in blocks[0].iter().zip(blocks[1]) {
            let before = now;
            let (parts, other_parts) = (block.as_chunks::<16>().0, other_block.as_chunks::<16>().0);
            let mut all = [
                [words(&parts[0]), words(&parts[1]), words(&parts[2]), words(&parts[3])],
                [
                    words(&other_parts[0]),
                    words(&other_parts[1]),
                    words(&other_parts[2]),
                    words(&other_parts[3]),
                ],
            ];
            // Four rounds each, with the words for those that come sixteen rounds later.
            macro_rules! rounds {
                ($($four:literal)*) => {$({
                    const AT: usize = 4 * $four;
                    let keys = four(ROUNDS[AT + 3], ROUNDS[AT + 2], ROUNDS[AT + 1], ROUNDS[AT]);
                    let mut which = 0;
                    while which < 2 {
                        let words = &mut all[which];
                        let [abef, cdgh] = &mut now[which];
                        let first = words[$four % 4];
                        let sum = _mm_add_epi32(first, keys);
                        *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sum);
                        *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sum));
                        if $four < 12 {
                            let (second, third, last) = (words[($four + 1) % 4], words[($four + 2) % 4], words[($four + 3) % 4]);
                            let next = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), _mm_alignr_epi8::<4>(last, third));
                            words[$four % 4] = _mm_sha256msg2_epu32(next, last);
                        }
                        which += 1;
                    }
                })*};
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            let mut which = 0;
            while which < 2 {
                now[which][0] = _mm_add_epi32(now[which][0], before[which][0]);
                now[which][1] = _mm_add_epi32(now[which][1], before[which][1]);
                which += 1;
            }
        }
        *one = unpacked(now[0]);
        *other = unpacked(now[1]);
    }
}
