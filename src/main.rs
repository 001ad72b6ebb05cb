//! The `screader` command: parse what was typed, run it, report an error in one line.

use clap::Parser;

fn main() {
    let command = screader::cli::Cli::parse();
    if let Err(error) = command.run() {
        eprintln!("error: {error}");
        std::process::exit(error.exit_code());
    }
}
