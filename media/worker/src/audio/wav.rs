//! WAV files as they occur here: PCM, 16 bits, little-endian. Source: Multimedia Programming Interface 1.0 (RIFF WAVE).

/// Octets before the samples in a file that we write.
pub const HEADER: usize = 44;
/// What a RIFF size can count; also keeps `HEADER` and padding within 32 bits.
pub const MAX_DATA: u64 = u32::MAX as u64 - 1024;

/// The sampling rate of everything here.
pub const RATE_HZ: u32 = 8000;

/// The header for `data` octets of samples.
pub fn header(channels: u16, data: u64) -> [u8; HEADER] {
    let data = data.min(MAX_DATA) as u32;
    let frame = channels * 2;
    let mut octets = [0; HEADER];
    let mut place = 0;
    let mut put = |part: &[u8]| {
        octets[place..place + part.len()].copy_from_slice(part);
        place += part.len();
    };
    put(b"RIFF");
    put(&(data + HEADER as u32 - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&1_u16.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&RATE_HZ.to_le_bytes());
    put(&(RATE_HZ * u32::from(frame)).to_le_bytes());
    put(&frame.to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&data.to_le_bytes());
    octets
}

/// The samples of a canonical prompt (mono, 16 bits, 8000 Hz). The error says what it is instead.
pub fn samples(file: &[u8]) -> Result<Vec<i16>, String> {
    if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
        return Err("no WAV".into());
    }
    let mut rest = &file[12..];
    let mut format = None;
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        // A file that was cut, or whose writer never came back to fill the size in, holds what it holds.
        let chunk = &body[..size.min(body.len())];
        match &head[..4] {
            b"fmt " => format = Some(check_format(chunk)?),
            b"data" => {
                format.ok_or("samples before their format")?;
                return Ok(chunk
                    .chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect());
            }
            _ => {}
        }
        // Chunks of odd size are padded.
        rest = body.get(size.saturating_add(size & 1)..).unwrap_or_default();
    }
    Err("a WAV without samples".into())
}

fn check_format(chunk: &[u8]) -> Result<(), String> {
    const PCM: u16 = 1;
    const EXTENSIBLE: u16 = 0xFFFE;
    let field = |at: usize| chunk.get(at..at + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let rate = chunk
        .get(4..8)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let (Some(tag), Some(channels), Some(rate), Some(bits)) = (field(0), field(2), rate, field(14)) else {
        return Err("a format of too few octets".into());
    };
    let tag = if tag == EXTENSIBLE {
        field(24).unwrap_or(tag)
    } else {
        tag
    };
    if (tag, channels, rate, bits) == (PCM, 1, RATE_HZ, 16) {
        Ok(())
    } else {
        Err(format!(
            "not canonical: format {tag}, {channels} channels, {rate} Hz, {bits} bits"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(samples: &[i16]) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        [&header(1, data.len() as u64)[..], &data].concat()
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(samples(&file(&[1, -2, 32767, -32768])), Ok(vec![1, -2, 32767, -32768]));
    }

    #[test]
    fn chunks_of_other_kinds_are_passed_over() {
        let plain = file(&[5, 6]);
        let dressed = [&plain[..12], b"LIST\x03\0\0\0abc\0", &plain[12..], b"id3 \0\0\0\0"].concat();
        assert_eq!(samples(&dressed), Ok(vec![5, 6]));
    }

    #[test]
    fn a_file_that_was_cut_gives_what_it_has() {
        let mut cut = file(&[1, 2, 3, 4]);
        cut.truncate(HEADER + 5);
        assert_eq!(samples(&cut), Ok(vec![1, 2]));
        let mut endless = file(&[1, 2]);
        endless[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(samples(&endless), Ok(vec![1, 2]));
    }

    #[test]
    fn other_formats_are_refused_with_their_name() {
        let with = |at: usize, octet: u8| {
            let mut file = file(&[1]);
            file[at] = octet;
            samples(&file).expect_err("not canonical")
        };
        assert!(with(0, b'X').contains("no WAV"));
        assert!(with(20, 7).contains("format 7"));
        assert!(with(22, 2).contains("2 channels"));
        assert!(with(24, 0x41).contains(" Hz"));
        assert!(with(34, 8).contains("8 bits"));
        assert!(with(36, b'D').contains("without samples"));
        assert!(samples(b"").is_err());
    }

    #[test]
    fn any_bytes_give_samples_or_a_reason() {
        let mut random = crate::random::Random::new(11);
        let good = file(&[7; 40]);
        for _ in 0..50_000 {
            let mut bad = good.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(bad.len() as u64) as usize;
                bad[at] = random.next() as u8;
            }
            bad.truncate(random.below(bad.len() as u64 + 1) as usize);
            if let Ok(samples) = samples(&bad) {
                assert!(samples.len() <= 40);
            }
        }
    }
}
