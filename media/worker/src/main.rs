//! `dialplane-media`: reads its arguments and runs until it is told to stop.

use std::process::ExitCode;

use dialplane_media::args::{self, Wish};
use dialplane_media::{control, forward, log};

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Wish::Version) => {
            println!("dialplane-media {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Wish::Help) => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Wish::Prepare(wish)) => match forward::command::run(&wish) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("dialplane-media: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Wish::Run(args)) => {
            log::set_lowest(args.log_level);
            match control::run(&args) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    log::error("cannot_run", &[("reason", &error)]);
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            eprintln!("dialplane-media: {error}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}
