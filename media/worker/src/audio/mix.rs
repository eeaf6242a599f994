//! The core of a conference: everyone hears the sum of all others.
//!
//! Each tick, whoever says something puts a frame in; then each takes out the sum less their own. Members may differ in
//! sampling rate: there is one *room* for each rate, in which frames are added as they are, and only the sums of the rooms
//! are resampled into each other. So a conference costs the same few resamplers whatever its size, members of one rate hear
//! each other without any delay, and one's own voice is taken out exactly, since the sums are not rounded or clipped before.
//! Whoever says nothing hears the same as all others of that rate who say nothing; that frame is made, and may be encoded,
//! once for all of them. Sums that are too loud are bent, not cut.

use crate::audio::resample::{Resampler, RATES_HZ};
use crate::codec::to_i16;

/// Up to here a sum is left as it is; above, it approaches the end of the range.
const BEND: f32 = 24_000.0;
const ABOVE_BEND: f32 = 32_767.0 - BEND;
/// How quickly the level of a member follows: the part of a tick of 20 ms in the mean.
const ATTACK: f32 = 0.4;
const RELEASE: f32 = 0.08;
/// Mean squares from which a member counts as speaking (40 dB below full scale) and no longer does (46 dB).
const SPEAKS: f32 = 107_374.0;
const FALLS_SILENT: f32 = 26_971.0;
/// After so many ticks without a word, nothing of a room is left in the resamplers.
const ECHO_TICKS: u32 = 2;

/// A member's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(usize);

/// What a member got to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Nobody else says anything, or the member is deaf: zeros.
    Silence,
    /// The same as all other members of that rate for whom this is told.
    Common,
    /// A sum of their own.
    Own,
}

#[derive(Debug)]
struct Member {
    room: usize,
    muted: bool,
    deaf: bool,
    /// The frame of this tick, if there is one that the others hear.
    own: Vec<i16>,
    speaks_now: bool,
    /// Smoothed mean square, muted or not.
    power: f32,
    speaking: bool,
    measured: bool,
}

#[derive(Debug)]
struct Room {
    rate_hz: u32,
    members: usize,
    /// What is said in this room, and with what is said in the others.
    said: Vec<f32>,
    all: Vec<f32>,
    common: Vec<i16>,
    /// Ticks since something was said here.
    quiet: u32,
    silent: bool,
    /// From the other rooms to this one, by their index.
    inlets: Vec<Option<Resampler>>,
}

/// See the module.
#[derive(Debug)]
pub struct Mixer {
    tick_ms: u32,
    members: Vec<Option<Member>>,
    /// One place for each of `RATES_HZ`.
    rooms: [Option<Box<Room>>; RATES_HZ.len()],
    resampled: Vec<f32>,
}

impl Mixer {
    /// A conference without members; `tick_ms`: 10 to 60, a multiple of 10.
    pub fn new(tick_ms: u32) -> Self {
        let tick_ms = (tick_ms / 10 * 10).clamp(10, 60);
        Self {
            tick_ms,
            members: Vec::new(),
            rooms: [const { None }; RATES_HZ.len()],
            resampled: vec![0.0; (48 * tick_ms) as usize],
        }
    }

    fn length(&self, rate_hz: u32) -> usize {
        (rate_hz as usize * self.tick_ms as usize) / 1000
    }

    /// Take a member in who speaks and hears at `rate_hz`. None for a rate that is not among `RATES_HZ`.
    pub fn join(&mut self, rate_hz: u32) -> Option<Seat> {
        let room = RATES_HZ.iter().position(|&known| known == rate_hz)?;
        let length = self.length(rate_hz);
        if let Some(room) = self.rooms[room].as_mut() {
            room.members += 1;
        } else {
            self.open(room, rate_hz, length);
        }
        let member = Member {
            room,
            muted: false,
            deaf: false,
            own: vec![0; length],
            speaks_now: false,
            power: 0.0,
            speaking: false,
            measured: false,
        };
        let seat = self.members.iter().position(Option::is_none).unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        self.members[seat] = Some(member);
        Some(Seat(seat))
    }

    fn open(&mut self, index: usize, rate_hz: u32, length: usize) {
        let inlets = self
            .rooms
            .iter()
            .map(|room| Resampler::new(room.as_ref()?.rate_hz, rate_hz))
            .collect();
        for room in self.rooms.iter_mut().flatten() {
            room.inlets[index] = Resampler::new(rate_hz, room.rate_hz);
        }
        self.rooms[index] = Some(Box::new(Room {
            rate_hz,
            members: 1,
            said: vec![0.0; length],
            all: vec![0.0; length],
            common: vec![0; length],
            quiet: ECHO_TICKS,
            silent: true,
            inlets,
        }));
    }

    /// Let a member go.
    pub fn leave(&mut self, seat: Seat) {
        let Some(member) = self.members.get_mut(seat.0).and_then(Option::take) else {
            return;
        };
        let Some(room) = self.rooms[member.room].as_mut() else {
            return;
        };
        room.members -= 1;
        if room.members == 0 {
            self.rooms[member.room] = None;
            for room in self.rooms.iter_mut().flatten() {
                room.inlets[member.room] = None;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.members.iter().flatten().count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn member(&mut self, seat: Seat) -> Option<&mut Member> {
        self.members.get_mut(seat.0)?.as_mut()
    }

    /// Whether the others hear this member.
    pub fn mute(&mut self, seat: Seat, muted: bool) {
        if let Some(member) = self.member(seat) {
            member.muted = muted;
        }
    }

    /// Whether this member hears nothing.
    pub fn deafen(&mut self, seat: Seat, deaf: bool) {
        if let Some(member) = self.member(seat) {
            member.deaf = deaf;
        }
    }

    /// Begin a tick.
    pub fn begin(&mut self) {
        for member in self.members.iter_mut().flatten() {
            member.speaks_now = false;
            member.measured = false;
        }
        for room in self.rooms.iter_mut().flatten() {
            room.said.fill(0.0);
            room.all.fill(0.0);
            room.silent = true;
            room.quiet = room.quiet.saturating_add(1);
        }
    }

    /// What a member says in this tick, a whole frame at their rate (what is missing is silence). To be left out for a
    /// member who is silent, which spares work for all.
    pub fn say(&mut self, seat: Seat, frame: &[i16]) {
        let Some(member) = self.members.get_mut(seat.0).and_then(Option::as_mut) else {
            return;
        };
        let count = frame.len().min(member.own.len());
        measure(member, &frame[..count]);
        if member.muted {
            return;
        }
        member.own[..count].copy_from_slice(&frame[..count]);
        member.own[count..].fill(0);
        member.speaks_now = true;
        if let Some(room) = self.rooms[member.room].as_mut() {
            add(&mut room.said, &member.own);
            room.quiet = 0;
        }
    }

    /// Something that all members of `rate_hz` hear and nobody says: a beep, an announcement, music. To be given for each
    /// rate of `rates`, since only the caller knows it at its best.
    pub fn announce(&mut self, rate_hz: u32, frame: &[i16]) {
        let index = RATES_HZ.iter().position(|&known| known == rate_hz);
        if let Some(room) = index.and_then(|index| self.rooms[index].as_mut()) {
            // Past `said`, so that no other room hears it twice.
            add(&mut room.all, frame);
            room.silent = false;
        }
    }

    /// The rates of the members.
    pub fn rates(&self) -> impl Iterator<Item = u32> + '_ {
        self.rooms.iter().flatten().map(|room| room.rate_hz)
    }

    /// End a tick: everyone has said what they say.
    pub fn finish(&mut self) {
        for member in self.members.iter_mut().flatten() {
            if !member.measured {
                decay(member);
            }
        }
        for index in 0..self.rooms.len() {
            // Taken out for a moment, to look at the others meanwhile.
            let Some(mut room) = self.rooms[index].take() else {
                continue;
            };
            if room.quiet == 0 {
                room.all.iter_mut().zip(&room.said).for_each(|(sum, said)| *sum += said);
                room.silent = false;
            }
            for (other, inlet) in self.rooms.iter().zip(&mut room.inlets) {
                let (Some(other), Some(inlet)) = (other, inlet) else {
                    continue;
                };
                if other.quiet <= ECHO_TICKS {
                    let count = inlet.process_f32(&other.said, &mut self.resampled[..]);
                    let heard = &self.resampled[..count];
                    room.all.iter_mut().zip(heard).for_each(|(sum, said)| *sum += said);
                    room.silent = false;
                }
            }
            if !room.silent {
                room.common
                    .iter_mut()
                    .zip(&room.all)
                    .for_each(|(place, &sum)| *place = bend(sum));
            }
            self.rooms[index] = Some(room);
        }
    }

    /// What a member hears in this tick, after `finish`. `out`: a frame at their rate.
    pub fn hear(&self, seat: Seat, out: &mut [i16]) -> Mix {
        let member = self.members.get(seat.0).and_then(Option::as_ref);
        let room = member.and_then(|member| self.rooms[member.room].as_ref());
        let (Some(member), Some(room)) = (member, room) else {
            out.fill(0);
            return Mix::Silence;
        };
        if member.deaf || room.silent {
            out.fill(0);
            return Mix::Silence;
        }
        let count = out.len().min(room.all.len());
        out[count..].fill(0);
        if !member.speaks_now {
            out[..count].copy_from_slice(&room.common[..count]);
            return Mix::Common;
        }
        for ((place, &sum), &own) in out.iter_mut().zip(&room.all).zip(&member.own) {
            *place = bend(sum - f32::from(own));
        }
        Mix::Own
    }

    /// The level of a member's voice in decibels below full scale (0 to 100), muted or not.
    pub fn level_below_db(&self, seat: Seat) -> f32 {
        let power = self
            .members
            .get(seat.0)
            .and_then(Option::as_ref)
            .map_or(0.0, |member| member.power);
        (-10.0 * (power / (32_768.0 * 32_768.0)).max(1e-10).log10()).clamp(0.0, 100.0)
    }

    /// Whether a member is speaking; it takes some ticks to begin and to end.
    pub fn is_speaking(&self, seat: Seat) -> bool {
        self.members
            .get(seat.0)
            .and_then(Option::as_ref)
            .is_some_and(|member| member.speaking)
    }

    /// Who speaks loudest and is not muted.
    pub fn speaker(&self) -> Option<Seat> {
        let seats = self
            .members
            .iter()
            .enumerate()
            .filter_map(|(seat, member)| Some((Seat(seat), member.as_ref()?)));
        let heard = seats.filter(|(_, member)| member.speaking && !member.muted);
        heard
            .max_by(|one, other| one.1.power.total_cmp(&other.1.power))
            .map(|(seat, _)| seat)
    }
}

fn add(sum: &mut [f32], frame: &[i16]) {
    sum.iter_mut()
        .zip(frame)
        .for_each(|(sum, &sample)| *sum += f32::from(sample));
}

/// Into the range of 16 bits.
fn bend(sample: f32) -> i16 {
    let loud = sample.abs();
    let over = (loud - BEND).max(0.0);
    let bent = loud.min(BEND) + ABOVE_BEND * over / (ABOVE_BEND + over);
    to_i16(bent.copysign(sample))
}

fn measure(member: &mut Member, frame: &[i16]) {
    let energy: f32 = frame
        .iter()
        .map(|&sample| i32::from(sample) * i32::from(sample))
        .map(|square| square as f32)
        .sum();
    let power = energy / frame.len().max(1) as f32;
    let weight = if power > member.power { ATTACK } else { RELEASE };
    member.power += (power - member.power) * weight;
    member.measured = true;
    judge(member);
}

fn decay(member: &mut Member) {
    member.power *= 1.0 - RELEASE;
    judge(member);
}

fn judge(member: &mut Member) {
    let limit = if member.speaking { FALLS_SILENT } else { SPEAKS };
    member.speaking = member.power > limit;
}

#[cfg(test)]
mod tests;
