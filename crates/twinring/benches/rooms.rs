//! The rooms below the link, each by itself, in one thread: frames, the ring, the copy.
//!
//! `RUSTFLAGS="--cfg twinring_bench" cargo bench -p twinring --bench rooms` measures. The rooms are private:
//! without that they cannot be reached, and this program says so and ends.
//!
//! All is in the processor's caches, and nobody else touches it: this is what the code itself takes,
//! not what a message between two processors takes.

#[cfg(twinring_bench)]
fn main() {
    divan::main();
}

#[cfg(not(twinring_bench))]
fn main() {
    println!(
        "the rooms are private; to measure them: \
         RUSTFLAGS=\"--cfg twinring_bench\" cargo bench -p twinring --bench rooms"
    );
}

#[cfg(twinring_bench)]
mod frames {
    use divan::{Bencher, black_box, counter::BytesCount};
    use twinring::benching::Frames;

    /// The last is the longest that a frame may have.
    const LENS: [usize; 4] = [8, 64, 1024, 32 * 1024 - 8];
    const BATCH: usize = 16;

    #[divan::bench(args = LENS)]
    fn write_publish_peek_take(bencher: Bencher<'_, '_>, len: usize) {
        let (mut frames, payload) = (Frames::default(), vec![7; len]);
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            frames.write(black_box(&payload));
            frames.publish();
            black_box(frames.take());
        });
    }

    #[divan::bench(args = LENS)]
    fn write_publish_peek_give_back(bencher: Bencher<'_, '_>, len: usize) {
        let (mut frames, payload) = (Frames::default(), vec![7; len]);
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            frames.write(black_box(&payload));
            frames.publish();
            frames.skip();
        });
    }

    #[divan::bench(args = LENS)]
    fn batch_of_16(bencher: Bencher<'_, '_>, len: usize) {
        let (mut frames, payload) = (Frames::default(), vec![7; len]);
        let bytes = BytesCount::new(BATCH * len);
        bencher.counter(bytes).bench_local(|| {
            for _ in 0..BATCH {
                frames.write(black_box(&payload));
            }
            frames.publish();
            black_box(frames.take_batch(BATCH));
        });
    }
}

#[cfg(twinring_bench)]
mod ring {
    use divan::{Bencher, black_box, counter::BytesCount};
    use twinring::benching::Positions;

    #[divan::bench(args = [8, 64, 1024, 32 * 1024])]
    fn write_publish_read_release(bencher: Bencher<'_, '_>, len: usize) {
        let (mut ring, bytes) = (Positions::default(), vec![7; len]);
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            ring.write(black_box(&bytes));
            black_box(ring.read(len));
        });
    }
}

/// Beside `memcpy`, which may not be used on memory that the peer can write to.
#[cfg(twinring_bench)]
mod copy {
    use std::fmt;

    use divan::{Bencher, black_box, counter::BytesCount};
    use twinring::benching::Memory;

    const LENS: [usize; 6] = [64, 256, 1024, 4096, 16 * 1024, 32 * 1024];
    const PAGE: usize = 4096;

    /// How many bytes, and how far the shared ones are from the beginning of a page, where ours
    /// begin: 8 is where a payload begins that follows a header.
    struct Case {
        len: usize,
        off: usize,
    }

    impl fmt::Display for Case {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} off by {}", self.len, self.off)
        }
    }

    fn cases() -> impl Iterator<Item = Case> {
        LENS.into_iter()
            .flat_map(|len| [0, 8].map(|off| Case { len, off }))
    }

    /// Bytes of our own, some of which begin at a page.
    struct Own {
        bytes: Vec<u8>,
        page: usize,
    }

    impl Own {
        fn new(len: usize) -> Own {
            let bytes = vec![7; len + PAGE];
            let page = bytes.as_ptr().align_offset(PAGE);
            Own { bytes, page }
        }

        fn at(&mut self, off: usize, len: usize) -> &mut [u8] {
            &mut self.bytes[self.page + off..][..len]
        }
    }

    #[divan::bench(args = cases())]
    fn into_the_ring(bencher: Bencher<'_, '_>, &Case { len, off }: &Case) {
        let (ring, mut own) = (Memory::new(0, 0), Own::new(len));
        let own = own.at(0, len);
        bencher
            .counter(BytesCount::new(len))
            .bench_local(|| ring.copy_in(black_box(off as u64), black_box(own)));
    }

    #[divan::bench(args = cases())]
    fn out_of_the_ring(bencher: Bencher<'_, '_>, &Case { len, off }: &Case) {
        let (ring, mut own) = (Memory::new(off as u64, len), Own::new(len));
        let own = own.at(0, len);
        bencher
            .counter(BytesCount::new(len))
            .bench_local(|| ring.copy_out(black_box(own)));
    }

    #[divan::bench(args = cases())]
    fn memcpy(bencher: Bencher<'_, '_>, &Case { len, off }: &Case) {
        let (mut from, mut to) = (Own::new(len), Own::new(len + off));
        let (from, to) = (from.at(0, len), to.at(off, len));
        bencher
            .counter(BytesCount::new(len))
            .bench_local(|| black_box(&mut *to).copy_from_slice(black_box(from)));
    }
}
