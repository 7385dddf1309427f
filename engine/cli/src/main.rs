//! The `paring` binary: arguments in, data to standard output, everything else to standard error, an exit code.

mod allocator;
mod arguments;
mod commands;
mod exit;
mod names;
mod output;
mod terminal;
mod tracing_setup;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    allocator::configure();
    let arguments = Arguments::parse();
    let terminal = terminal::Terminal::detect();
    tracing_setup::install(arguments.verbose);
    commands::dispatch(arguments, &terminal).unwrap_or_else(|failure| failure.report(&terminal))
}
