//! The Mandelbrot set.

use super::protocol::Picture;

/// What is seen: the centre, and the height.
const CENTRE: (f64, f64) = (-0.65, 0.0);
const HEIGHT: f64 = 2.6;

/// Renders row `y` to the end of `row`.
pub(super) fn row(picture: &Picture, y: u16, row: &mut Vec<u8>) {
    let (width, height) = (f64::from(picture.width), f64::from(picture.height));
    let scale = HEIGHT / height;
    let b = CENTRE.1 + (f64::from(y) + 0.5 - height / 2.0) * scale;
    for x in 0..picture.width {
        let a = CENTRE.0 + (f64::from(x) + 0.5 - width / 2.0) * scale;
        row.extend(colour(escape(a, b, picture.iterations)));
    }
}

/// After how many steps the point is known to lie outside.
fn escape(a: f64, b: f64, iterations: u32) -> Option<u32> {
    let (mut x, mut y) = (0.0, 0.0);
    (0..iterations).find(|_| {
        (x, y) = (x * x - y * y + a, 2.0 * x * y + b);
        x * x + y * y > 4.0
    })
}

fn colour(steps: Option<u32>) -> [u8; 3] {
    let Some(steps) = steps else {
        return [0; 3];
    };
    // Three waves of different length.
    let wave = |length: f64| (127.5 - 127.5 * (f64::from(steps + 1) / length).cos()) as u8;
    [wave(31.0), wave(17.0), wave(9.0)]
}
