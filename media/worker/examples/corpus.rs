//! Takes the inputs that libFuzzer has found out of `fuzz/found`, and puts them back in (`fuzz/README.md`).
//!
//!     cargo run --example corpus unpack|pack TARGET...

#[path = "../fuzz/corpus.rs"]
#[allow(dead_code)]
mod corpus;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let act = match arguments.next().as_deref() {
        Some("unpack") => corpus::unpack,
        Some("pack") => corpus::pack,
        _ => {
            eprintln!("corpus unpack|pack TARGET...");
            return ExitCode::from(2);
        }
    };
    for target in arguments {
        match act(&target) {
            Ok(count) => println!("{target}: {count} inputs that were found"),
            Err(error) => {
                eprintln!("{target}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
