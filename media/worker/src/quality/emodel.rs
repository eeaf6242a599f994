//! An opinion of a conversation from what happened to its packets: the E-model, simplified to what a media plane knows.
//!
//! R = top - Id - Ie,eff: the best that the codec's bandwidth allows, less what the delay and what coding and loss take away.
//! Everything else (loudness, noise, echo) is taken as perfect: these are the phones' affair, and cannot be seen from
//! here. One scale serves all codecs: narrow-band speech reaches 93.2 of it, wide-band speech 129, as in G.107.1, where
//! the same narrow-band speech falls short by 35.8. The opinion score is that of G.107 Annex B, which ends at 4.5 for R
//! of 100: so a wide-band codec has room for some loss before its score is less than that of a perfect G.711.
//!
//! Source: ITU-T G.107 (06/2015) 7.1, 7.4, 7.5, Annex B; G.107.1; G.113 Appendix I and IV for the codecs. Opus is in none of
//! them: its figures are ours, chosen between those of AMR-WB and of linear audio, with in-band FEC in use.

/// What a codec costs, and how it bears loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Codec {
    /// R of a perfect connection.
    top: f32,
    /// Ie, what coding takes away.
    impairment: f32,
    /// Bpl: the percentage of loss that takes away half of what was left.
    robustness: f32,
    /// Milliseconds that the codec adds beside the packet itself.
    pub delay_ms: f32,
}

const NARROW: f32 = 93.2;
const WIDE: f32 = 129.0;

impl Codec {
    /// By its name in signalling. Unknown ones count as G.729 does, the least good that is common.
    pub fn of(name: &str, clock_rate_hz: u32) -> Self {
        let (top, impairment, robustness, delay_ms) = match name.to_ascii_uppercase().as_str() {
            // With concealment; without it the robustness would be 4.3.
            "PCMU" | "PCMA" => (NARROW, 0.0, 25.1, 0.0),
            "L16" if clock_rate_hz <= 8000 => (NARROW, 0.0, 25.1, 0.0),
            "L16" => (WIDE, 0.0, 5.0, 0.0),
            "G722" => (WIDE, 13.0, 4.9, 1.5),
            "OPUS" => (WIDE, 6.0, 16.0, 6.5),
            _ => (NARROW, 11.0, 19.0, 15.0),
        };
        Self {
            top,
            impairment,
            robustness,
            delay_ms,
        }
    }
}

/// What happened to the packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Lost or too late, 0 to 1.
    pub loss: f32,
    /// The mean length of a gap over the one that chance would give: 1 when packets are lost one by one.
    pub burst_ratio: f32,
    /// From mouth to ear.
    pub delay_ms: f32,
}

/// R: 0 (nothing can be understood) to 129.
pub fn rating(codec: &Codec, conditions: &Conditions) -> f32 {
    let percent = conditions.loss.clamp(0.0, 1.0) * 100.0;
    let burst_ratio = conditions.burst_ratio.max(1.0);
    let loss = (95.0 - codec.impairment) * percent / (percent / burst_ratio + codec.robustness);
    (codec.top - delay(conditions.delay_ms) - codec.impairment - loss).clamp(0.0, codec.top)
}

/// Idd: what delay alone takes away. Nothing up to 100 ms.
fn delay(delay_ms: f32) -> f32 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    let term = |x: f32| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (term(x) - 3.0 * term(x / 3.0) + 2.0)
}

/// The mean opinion score that listeners would give: 1 to 4.5.
pub fn opinion(rating: f32) -> f32 {
    let r = rating.clamp(0.0, 100.0);
    // The cubic falls below 1 for R under 6.5.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFECT: Conditions = Conditions {
        loss: 0.0,
        burst_ratio: 1.0,
        delay_ms: 60.0,
    };

    fn near(value: f32, expected: f32, within: f32) {
        assert!((value - expected).abs() <= within, "{value} instead of {expected}");
    }

    fn rated(name: &str, loss: f32, burst_ratio: f32, delay_ms: f32) -> f32 {
        let conditions = Conditions {
            loss,
            burst_ratio,
            delay_ms,
        };
        rating(&Codec::of(name, 8000), &conditions)
    }

    #[test]
    fn the_opinion_of_a_rating__g107_annex_b() {
        for (r, score) in [
            (0.0, 1.0),
            (5.0, 1.0),
            (50.0, 2.58),
            (60.0, 3.10),
            (70.0, 3.60),
            (80.0, 4.03),
            (90.0, 4.34),
        ] {
            near(opinion(r), score, 0.01);
        }
        near(opinion(93.2), 4.41, 0.005);
        near(opinion(100.0), 4.5, 1e-5);
        near(opinion(129.0), 4.5, 1e-5);
    }

    #[test]
    fn delay_costs_little_until_150_ms_and_much_from_250_ms__g107_7_4() {
        assert_eq!(delay(100.0), 0.0);
        near(delay(150.0), 0.2, 0.1);
        near(delay(200.0), 3.0, 0.1);
        near(delay(250.0), 8.7, 0.4);
        near(delay(400.0), 24.1, 0.4);
        near(delay(10_000.0), 50.0, 7.0);
    }

    #[test]
    fn loss_costs_by_the_codec__g107_7_5() {
        near(rated("PCMU", 0.0, 1.0, 60.0), 93.2, 1e-3);
        near(rated("PCMA", 0.05, 1.0, 60.0), 93.2 - 95.0 * 5.0 / 30.1, 1e-3);
        near(rated("G729", 0.01, 1.0, 60.0), 93.2 - 11.0 - 84.0 / 20.0, 1e-3);
        assert!(
            rated("PCMU", 0.05, 2.0, 60.0) < rated("PCMU", 0.05, 1.0, 60.0),
            "bursts hurt more"
        );
        assert_eq!(
            rated("PCMU", 0.05, 0.2, 60.0),
            rated("PCMU", 0.05, 1.0, 60.0),
            "less than chance counts as chance"
        );
    }

    #[test]
    fn wide_band_has_room_above_narrow_band() {
        for name in ["G722", "opus"] {
            let codec = Codec::of(name, 48_000);
            near(opinion(rating(&codec, &PERFECT)), 4.5, 1e-5);
        }
        let heavy = |name| rated(name, 0.10, 1.0, 60.0);
        assert!(heavy("opus") > heavy("PCMU") && heavy("PCMU") > heavy("G722"));
    }

    #[test]
    fn any_figures_give_a_rating_on_the_scale() {
        for loss in [-1.0, 0.0, 0.5, 1.0, 9.0, f32::INFINITY] {
            for delay_ms in [-5.0, 0.0, 101.0, 1e9] {
                let r = rated("PCMU", loss, 3.0, delay_ms);
                assert!((0.0..=93.2).contains(&r), "{loss} {delay_ms} {r}");
                assert!((1.0..=4.5).contains(&opinion(r)));
            }
        }
    }
}
