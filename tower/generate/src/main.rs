//! `cargo run -p generate`: after each change of `proto/example.proto`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    generate::generate(&generate::folder())
}
