//! Copying to and from memory that the peer may be writing at this very moment.
//!
//! A reference, or `memcpy`, would promise the compiler that the bytes hold still, which they need
//! not do: that is a data race, and undefined. These two do not promise it. On x86-64 they are a
//! block of assembly, which the compiler cannot look into and which does what a row of relaxed
//! atomic accesses would do; elsewhere they are that row. What arrives may be a mixture of old and
//! new bytes if the peer misbehaves; it is only ever treated as data.

/// Copies `len` bytes from our own memory into shared memory.
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes, `dst` is aligned to 8, the two do not
/// overlap, and nothing but this module and atomics ever touches the bytes at `dst`.
#[inline]
pub(super) unsafe fn copy_in(dst: *mut u8, src: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
    // SAFETY: by this function's own contract.
    unsafe {
        opaque(dst, src, len);
    }
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    // SAFETY: by this function's own contract.
    unsafe {
        atomic::copy_in(dst, src, len);
    }
}

/// Copies `len` bytes from shared memory into our own.
///
/// # Safety
/// As [`copy_in`], with `src` and `dst` changing places.
#[inline]
pub(super) unsafe fn copy_out(dst: *mut u8, src: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
    // SAFETY: by this function's own contract.
    unsafe {
        opaque(dst, src, len);
    }
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    // SAFETY: by this function's own contract.
    unsafe {
        atomic::copy_out(dst, src, len);
    }
}

/// 64 bytes at a time with SSE2, which every x86-64 has. Not `rep movsb`, which some processors
/// run 17 times slower when the two addresses are a few bytes apart modulo 4096, as they are for
/// page-aligned buffers and an 8-byte header.
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes, and the two do not overlap.
#[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
#[inline]
unsafe fn opaque(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: reads [src, src + len) and writes [dst, dst + len), as the caller allows; the
    // registers changed are declared, the flags are by default, and the stack is not touched.
    unsafe {
        core::arch::asm!(
            "cmp {n}, 64",
            "jb 3f",
            "2:",
            "movups {a}, [{s}]",
            "movups {b}, [{s} + 16]",
            "movups {c}, [{s} + 32]",
            "movups {e}, [{s} + 48]",
            "movups [{d}], {a}",
            "movups [{d} + 16], {b}",
            "movups [{d} + 32], {c}",
            "movups [{d} + 48], {e}",
            "add {s}, 64",
            "add {d}, 64",
            "sub {n}, 64",
            "cmp {n}, 64",
            "jae 2b",
            "3:",
            "cmp {n}, 8",
            "jb 5f",
            "4:",
            "mov {t}, [{s}]",
            "mov [{d}], {t}",
            "add {s}, 8",
            "add {d}, 8",
            "sub {n}, 8",
            "cmp {n}, 8",
            "jae 4b",
            "5:",
            "test {n}, {n}",
            "jz 7f",
            "6:",
            "mov {t:l}, byte ptr [{s}]",
            "mov byte ptr [{d}], {t:l}",
            "inc {s}",
            "inc {d}",
            "dec {n}",
            "jnz 6b",
            "7:",
            n = inout(reg) len => _,
            s = inout(reg) src => _,
            d = inout(reg) dst => _,
            t = out(reg) _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            e = out(xmm_reg) _,
            options(nostack),
        );
    }
}

/// The portable form: relaxed atomic words, then bytes. Also what Miri and, by
/// `--cfg twinring_portable_copy`, the sanitizers see: they cannot look into assembly either.
#[cfg(any(test, not(target_arch = "x86_64"), miri, twinring_portable_copy))]
mod atomic {
    use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    /// # Safety
    /// As [`super::copy_in`].
    pub(super) unsafe fn copy_in(dst: *mut u8, src: *const u8, len: usize) {
        let words = len / 8;
        for i in 0..words {
            // SAFETY: within `len`; `dst` is aligned to 8 and shared as the caller says, `src` is
            // ours and may have any alignment.
            unsafe {
                let word = src.cast::<u64>().add(i).read_unaligned();
                AtomicU64::from_ptr(dst.cast::<u64>().add(i)).store(word, Relaxed);
            }
        }
        for i in words * 8..len {
            // SAFETY: within `len`.
            unsafe { AtomicU8::from_ptr(dst.add(i)).store(src.add(i).read(), Relaxed) };
        }
    }

    /// # Safety
    /// As [`super::copy_out`].
    pub(super) unsafe fn copy_out(dst: *mut u8, src: *const u8, len: usize) {
        let words = len / 8;
        for i in 0..words {
            // SAFETY: within `len`; `src` is aligned to 8 and shared as the caller says, `dst` is
            // ours and may have any alignment.
            unsafe {
                let word = AtomicU64::from_ptr(src.cast_mut().cast::<u64>().add(i)).load(Relaxed);
                dst.cast::<u64>().add(i).write_unaligned(word);
            }
        }
        for i in words * 8..len {
            // SAFETY: within `len`.
            unsafe {
                dst.add(i)
                    .write(AtomicU8::from_ptr(src.cast_mut().add(i)).load(Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// A copier to test, as both of ours are.
    type Copier = unsafe fn(*mut u8, *const u8, usize);

    #[test]
    fn every_length_and_nothing_beyond() {
        let copiers: [Copier; 4] = [
            super::copy_in,
            super::copy_out,
            super::atomic::copy_in,
            super::atomic::copy_out,
        ];
        let from: Vec<u64> = (0..64u64)
            .map(|i| i.wrapping_mul(0x0101_0305_0709_0b0d))
            .collect();
        let bytes: Vec<u8> = from.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for copy in copiers {
            for len in 0..=bytes.len() - 8 {
                let mut to = vec![0xEEEE_EEEE_EEEE_EEEEu64; 64];
                // SAFETY: both buffers have 512 bytes, are aligned to 8 and ours alone.
                unsafe { copy(to.as_mut_ptr().cast(), from.as_ptr().cast(), len) };
                let to: Vec<u8> = to.iter().flat_map(|word| word.to_ne_bytes()).collect();
                assert_eq!(to[..len], bytes[..len]);
                assert!(to[len..].iter().all(|b| *b == 0xEE), "wrote beyond {len}");
            }
        }
    }
}
