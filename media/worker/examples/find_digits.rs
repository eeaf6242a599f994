//! Which digits the detector hears in audio: `find_digits < AUDIO`, 8 kHz, mono, 16 bits, low octet first, no header. For trying it
//! with real speech, in which no digit may be found, and with recordings of real telephones.

use std::io::Read;

use dialplane_media::dtmf::tones::Detector;

fn main() -> std::io::Result<()> {
    let mut octets = Vec::new();
    std::io::stdin().read_to_end(&mut octets)?;
    let audio: Vec<i16> = octets
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    if let Some(mut detector) = Detector::new(8000) {
        for (index, piece) in audio.chunks(80).enumerate() {
            detector.hear(piece, |heard| println!("{:.2} s: {heard:?}", index as f64 / 100.0));
        }
    }
    println!("{:.1} s heard", audio.len() as f64 / 8000.0);
    Ok(())
}
