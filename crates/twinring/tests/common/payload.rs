//! Messages whose every byte is known: from who sends it, its number and its length.

use super::Random;

/// A message of `len` bytes.
pub(crate) fn message(sender: u64, sequence: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(&mut bytes, seed(sender, sequence, len));
    bytes
}

/// Checks every byte of what [`message`] made.
#[track_caller]
pub(crate) fn check(bytes: &[u8], sender: u64, sequence: u64, len: usize) {
    assert_eq!(
        bytes.len(),
        len,
        "length of message {sequence} of sender {sender}"
    );
    if let Some(at) = first_wrong(bytes, seed(sender, sequence, len)) {
        panic!("byte {at} of message {sequence} of sender {sender} ({len} bytes) is wrong");
    }
}

/// Bytes of a label.
pub(crate) const LABEL: usize = 16;

/// A message that says whose it is and which; of [`LABEL`] bytes and `more`.
pub(crate) fn labelled(sender: u64, sequence: u64, more: usize) -> Vec<u8> {
    let mut bytes = vec![0; LABEL + more];
    bytes[..8].copy_from_slice(&sender.to_le_bytes());
    bytes[8..LABEL].copy_from_slice(&sequence.to_le_bytes());
    fill(&mut bytes[LABEL..], seed(sender, sequence, more));
    bytes
}

/// Sender and sequence of what [`labelled`] made, if every byte of it is right.
pub(crate) fn read_label(bytes: &[u8]) -> Result<(u64, u64), String> {
    let Some((label, rest)) = bytes.split_at_checked(LABEL) else {
        return Err(format!("a message of {} bytes has no label", bytes.len()));
    };
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| label[at + i]));
    let (sender, sequence) = (number(0), number(8));
    match first_wrong(rest, seed(sender, sequence, rest.len())) {
        None => Ok((sender, sequence)),
        Some(at) => Err(format!(
            "byte {} of message {sequence} of sender {sender} ({} bytes) is wrong",
            LABEL + at,
            bytes.len()
        )),
    }
}

fn seed(sender: u64, sequence: u64, len: usize) -> u64 {
    [sender, sequence, len as u64]
        .into_iter()
        .fold(0, |seed, part| Random::new(seed ^ part).next())
}

fn fill(bytes: &mut [u8], seed: u64) {
    let mut random = Random::new(seed);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        word.copy_from_slice(&random.next().to_le_bytes());
    }
    let rest = words.into_remainder();
    rest.copy_from_slice(&random.next().to_le_bytes()[..rest.len()]);
}

fn first_wrong(bytes: &[u8], seed: u64) -> Option<usize> {
    let mut random = Random::new(seed);
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    let differ = |bytes: &[u8], expected: [u8; 8]| {
        bytes
            .iter()
            .zip(expected)
            .position(|(is, should)| *is != should)
    };
    for (i, word) in words.enumerate() {
        let expected = random.next().to_le_bytes();
        if *word != expected {
            return differ(word, expected).map(|at| i * 8 + at);
        }
    }
    let before = bytes.len() - rest.len();
    differ(rest, random.next().to_le_bytes()).map(|at| before + at)
}
