//! A picture, rendered tile by tile in worker processes of which one crashes now and then: no tile is missing.
//!
//! `cargo run --release -p twinring-workers --example tiles`

use std::process::Command;
use std::{env, io};

use twinring_workers::{Event, Supervisor, parent};

const TILES: u8 = 200;

fn main() -> io::Result<()> {
    if let Some(parent) = parent()? {
        return Ok(parent.serve(render)?);
    }
    let program = env::current_exe()?;
    let mut pool = Supervisor::of(move |_| Command::new(&program))
        .workers(3)
        .start_pool()?;
    pool.on_event(|event| {
        if let Event::Exited(exited) = event {
            println!("{exited}");
        }
    });
    let (mut rendered, mut failed) = (0, 0);
    for done in pool.map((0..TILES).map(|tile| vec![tile])) {
        match done?.answer {
            Ok(_pixels) => rendered += 1,
            Err(e) => {
                println!("{e}");
                failed += 1;
            }
        }
    }
    println!("{rendered} tiles, {failed} that cannot be rendered");
    assert_eq!((rendered, failed), (TILES - 1, 1));
    Ok(())
}

/// One tile is more than the renderer can bear, whoever gets it.
fn render(tile: &[u8]) -> Vec<u8> {
    if tile == [77] {
        std::process::exit(77);
    }
    (0..4096u32)
        .map(|pixel| (pixel as u8).wrapping_mul(tile[0]))
        .collect()
}
