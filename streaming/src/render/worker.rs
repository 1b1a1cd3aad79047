//! The renderer's worker.

use anyhow::Context;
use twinring_workers::Parent;

use super::mandelbrot;
use super::protocol::{Order, ROW_NUMBER};
use crate::protocol::{decode, encode};

/// Renders what it is told.
///
/// # Errors
/// An order that makes no sense, or the end of the program that gave it.
pub fn run(parent: &Parent) -> anyhow::Result<()> {
    let Some(order) = parent.recv()? else {
        return Ok(());
    };
    let (Order { picture, from }, _) = decode(&order).context("an order that makes no sense")?;
    let (mut first, mut row) = (from, Vec::with_capacity(picture.row_len()));
    while first < picture.height {
        let rows = picture.band(first);
        let len = ROW_NUMBER + usize::from(rows) * picture.row_len();
        // In the ring itself. It is not sent before it is whole: what a killed worker leaves of it is nothing.
        let mut band = parent.connection().reserve(len)?;
        band.put(&u32::from(first).to_le_bytes())?;
        for y in first..first + rows {
            row.clear();
            mandelbrot::row(&picture, y, &mut row);
            band.put(&row)?;
            // For the bar: nobody is woken by it.
            parent.set_checkpoint(&encode(&(y + 1)))?;
        }
        band.commit()?;
        first += rows;
    }
    parent.finish()?;
    Ok(())
}
