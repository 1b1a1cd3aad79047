//! Renders a picture of the Mandelbrot set, by a process that may be killed.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::{Parser, value_parser as parser};
use indicatif::{ProgressBar, ProgressStyle};
use streaming::render::{Picture, Told, render, run};

const BAR: &str = "{bar:40} {percent:>3}% {pos:>6} of {len} rows {eta:>4} left";

/// Renders the Mandelbrot set as PNG, by a process of its own that may be killed.
#[derive(Parser)]
struct Args {
    /// Pixels of a row
    #[arg(long, default_value_t = 3840, value_parser = parser!(u16).range(1..=16_384))]
    width: u16,
    /// Rows
    #[arg(long, default_value_t = 2160, value_parser = parser!(u16).range(1..=16_384))]
    height: u16,
    /// How long to look at a point before it counts as one of the set
    #[arg(long, default_value_t = 1000)]
    iterations: u32,
    /// The file, which is replaced
    picture: PathBuf,
}

fn main() -> anyhow::Result<()> {
    if let Some(parent) = twinring_workers::parent()? {
        return run(&parent);
    }
    let args = Args::parse();
    let picture = Picture {
        width: args.width,
        height: args.height,
        iterations: args.iterations,
    };
    let bar = ProgressBar::new(args.height.into()).with_style(ProgressStyle::with_template(BAR)?);
    let program = std::env::current_exe()?;
    let pixels = render(
        picture,
        move || Command::new(&program),
        |told| match told {
            Told::Rows(rows) => bar.set_position(rows.into()),
            Told::Line(line) => bar.suspend(|| eprintln!("{line}")),
        },
    )?;
    bar.finish_and_clear();
    write(&args, &pixels).with_context(|| format!("cannot write {}", args.picture.display()))
}

fn write(args: &Args, pixels: &[u8]) -> anyhow::Result<()> {
    let to = BufWriter::new(File::create(&args.picture)?);
    let mut encoder = png::Encoder::new(to, args.width.into(), args.height.into());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}
