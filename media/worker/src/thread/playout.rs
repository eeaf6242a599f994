//! What a stream sends by our own clock: plays, a packet each time its turn on the wheel comes.

use super::recordings::BEEP;
use super::MediaThread;
use crate::playback::{Play, Programme};
use crate::protocol::{Event, Name};
use crate::slab::Handle;
use crate::stream::{Stream, Turn};

impl MediaThread {
    /// A play was asked for. It begins when its programme is there.
    pub(super) fn play(&mut self, name: &str, play: Name) {
        let turn = &self.turn;
        let Some(stream) = self.streams.named_mut(name) else {
            return;
        };
        if stream
            .outbound
            .play
            .as_ref()
            .is_some_and(|running| running.name == play)
        {
            return;
        }
        end_play(stream, "replaced", String::new(), turn);
        stream.outbound.plays += 1;
        stream.outbound.play = Some(Box::new(Play {
            name: play,
            number: stream.outbound.plays,
            programme: None,
        }));
    }

    pub(super) fn begin_play(&mut self, name: &str, play: &str, programme: Result<Programme, String>) {
        let turn = &self.turn;
        let Some(handle) = self.streams.handle(name) else {
            return;
        };
        self.current = Some(handle);
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        // Stopped, replaced or begun already: not wanted any more.
        let Some(waiting) = stream
            .outbound
            .play
            .as_mut()
            .filter(|it| &*it.name == play && it.programme.is_none())
        else {
            return;
        };
        match programme {
            Err(reason) => end_play(stream, "failed", reason, turn),
            Ok(programme) => {
                waiting.programme = Some(programme);
                // One that replaces another keeps its pace.
                self.schedule_voice(handle);
            }
        }
    }

    pub(super) fn stop_play(&mut self, name: &str, play: &str) {
        let turn = &self.turn;
        if let Some(stream) = self.streams.named_mut(name) {
            if stream
                .outbound
                .play
                .as_ref()
                .is_some_and(|running| &*running.name == play)
            {
                end_play(stream, "stopped", String::new(), turn);
            }
        }
    }

    /// A stream's turn on the wheel.
    pub(super) fn play_out(&mut self, handle: Handle, tick: u64) {
        self.current = Some(handle);
        let due = |stream: &Stream| (stream.outbound.digits.due == tick, stream.outbound.voice_due == tick);
        let Some((digits, voice)) = self.streams.get(handle).map(due) else {
            return;
        };
        if digits {
            self.step_digits(handle, tick);
        }
        if voice {
            self.step_voice(handle, tick);
        }
        self.look_at_beeps();
    }
}

/// End the play of a stream, if there is one, and say so. Nobody has asked for a beep, so its end is not told.
pub(super) fn end_play(stream: &mut Stream, reason: &str, detail: String, turn: &Turn) {
    if let Some(play) = stream.outbound.play.take().filter(|play| &*play.name != BEEP) {
        turn.outbox.tell(Event::PlayEnded {
            stream: stream.name.to_string(),
            play: play.name.to_string(),
            reason: reason.to_owned(),
            position_ms: play.position_ms(),
            detail,
            mix: String::new(),
        });
    }
}
