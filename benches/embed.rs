//! Times MiniLM on a file of texts, one JSON string a line: `cargo bench --bench embed -- FILE ROUNDS`.
//! Each round prints its seconds; the vectors of the last are written to FILE.f32 (little endian).
//! scripts/bench-embed runs it beside sentence-transformers.

use std::path::PathBuf;
use std::time::Instant;

use indicatif::ProgressBar;
use screader::embed::{MINILM_MODEL, MiniLm, TextEmbedder, find_minilm};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench` of its own.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [path, rounds] = arguments.as_slice() else {
        eprintln!("skipped: no texts; run scripts/bench-embed");
        return Ok(());
    };
    let lines = std::fs::read_to_string(path)?;
    let texts: Vec<String> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let named = std::env::var_os("SCREADER_MINILM").map(PathBuf::from);
    let minilm = MiniLm::load(find_minilm(named.as_deref())?, MINILM_MODEL)?;
    let mut vectors = minilm.embed(&texts[..texts.len().min(32)], &ProgressBar::hidden())?;
    for _ in 0..rounds.parse()? {
        let start = Instant::now();
        vectors = minilm.embed(&texts, &ProgressBar::hidden())?;
        println!("{:.3}", start.elapsed().as_secs_f64());
    }
    let bytes: Vec<u8> = vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(format!("{path}.f32"), bytes)?;
    Ok(())
}
