//! What the control thread asks for, carried out on the streams of this thread.

use super::playout::end_play;
use super::recordings::Subject;
use super::{Bridge, MediaThread};
use crate::log;
use crate::protocol::{Event, Name};
use crate::session::Session;
use crate::slab::Handle;
use crate::stream::Stream;
use crate::thread::tasks::{Parcel, Task};

impl MediaThread {
    pub(super) fn take_tasks(&mut self) {
        while let Ok(task) = self.inbox.tasks.try_recv() {
            self.current = None;
            self.prepare_for(&task);
            self.carry_out(task);
        }
    }

    fn carry_out(&mut self, task: Task) {
        match task {
            Task::Attach(parcel) => self.attach(*parcel),
            Task::Detach { stream, over } => {
                let parcel = self.detach(&stream).map(Box::new);
                // Who asked has a deadline; a stream that nobody waits for any more is taken back.
                if let Err(Some(parcel)) = over.give(parcel) {
                    self.attach(*parcel);
                }
            }
            Task::Connect { stream, session } => self.connect(&stream, *session),
            Task::Bridge { bridge, first, second } => self.bridge(bridge, &first, &second),
            Task::Unbridge { bridge } => self.unbridge(&bridge),
            Task::Play { stream, play } => self.play(&stream, play),
            Task::BeginPlay {
                stream,
                play,
                programme,
            } => self.begin_play(&stream, &play, programme),
            Task::StopPlay { stream, play } => self.stop_play(&stream, &play),
            Task::Record(task) => self.record(task),
            Task::PauseRecord { recording, keep_time } => self.pause_recording(&recording, keep_time),
            Task::ResumeRecord { recording } => self.resume_recording(&recording),
            Task::StopRecord { recording } => self.stop_recording(&recording, "stopped"),
            Task::LoseRecording { recording } => self.lose_recording(&recording),
            Task::SendDigits {
                stream,
                digits,
                tone_ms,
                gap_ms,
            } => self.send_digits(&stream, &digits, tone_ms, gap_ms),
            Task::Stats { stream } => {
                if let Some(stream) = self.find(&stream) {
                    let event = stream.statistics();
                    self.turn.outbox.tell(event);
                }
            }
            Task::Mute { stream, muted, deaf } => self.mute(&stream, muted, deaf),
            Task::Join { mix, stream, beep } => self.join_mix(mix, &stream, beep),
            Task::Leave { mix, stream, beep } => self.leave_mix(&mix, &stream, beep),
            Task::PlayMix { mix, play } => self.play_mix(&mix, play),
            Task::BeginPlayMix { mix, play, programme } => self.begin_play_mix(&mix, &play, programme),
            Task::StopPlayMix { mix, play } => self.stop_play_mix(&mix, &play),
            Task::Close { stream } => self.close(&stream),
            Task::Stop => self.stop(),
        }
    }

    /// The stream of this name; it is blamed for what goes wrong from here on.
    fn find(&mut self, name: &str) -> Option<&mut Stream> {
        let handle = self.streams.handle(name)?;
        self.current = Some(handle);
        self.streams.get_mut(handle)
    }

    fn attach(&mut self, parcel: Parcel) {
        if self.streams.is_empty() {
            self.agenda.housekeeping_at = self.turn.now;
        }
        let name = parcel.stream.name.clone();
        let handle = self.streams.insert(name, parcel.stream);
        self.watch(handle);
        self.attach_recordings(handle, parcel.recordings);
        // What it was sending goes on with the next tick of this thread's wheel.
        if let Some(stream) = self.streams.get_mut(handle) {
            if stream.outbound.play.is_some() {
                stream.outbound.voice_due = self.agenda.wheel.schedule(handle, 0);
            }
            if !stream.outbound.digits.sender.is_idle() {
                stream.outbound.digits.due = self.agenda.wheel.schedule(handle, 0);
            }
        }
    }

    /// Only a stream that is in no bridge and no mix can leave.
    pub(super) fn detach(&mut self, name: &str) -> Option<Parcel> {
        let handle = self.streams.handle(name)?;
        let stream = self
            .streams
            .get(handle)
            .filter(|stream| stream.route.bridge.is_none() && stream.route.mix.is_none())?;
        stream.sockets.forget(&mut self.wire.net);
        self.hear_left(handle);
        let recordings = self.detach_recordings(handle);
        self.streams.forget(name);
        let mut stream = self.streams.remove(handle)?;
        stream.outbound.voice_due = 0;
        stream.outbound.digits.due = 0;
        Some(Parcel { stream, recordings })
    }

    fn connect(&mut self, name: &str, session: Session) {
        let Some(handle) = self.streams.handle(name) else {
            return;
        };
        self.current = Some(handle);
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let moved = stream.connect(session, self.turn.now, &mut self.wire.net);
        if moved {
            self.watch_peer(handle);
        }
        self.forget_cuts(handle);
        self.plan_ways(handle);
        if self
            .streams
            .get(handle)
            .is_some_and(|stream| stream.inbound.presses.has_moves())
        {
            self.carry_digits(handle); // a press that was cut off by the change
        }
        self.hear_early(handle);
    }

    /// What was agreed changed: how long packets are shows anew.
    fn forget_cuts(&mut self, handle: Handle) {
        let mate = self.streams.get(handle).and_then(|stream| stream.route.mate);
        for handle in [Some(handle), mate].into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(handle) {
                stream.inbound.cut = false;
            }
        }
    }

    fn mute(&mut self, name: &str, muted: bool, deaf: bool) {
        let Some(handle) = self.streams.handle(name) else {
            return;
        };
        self.current = Some(handle);
        if let Some(stream) = self.streams.get_mut(handle) {
            (stream.route.muted, stream.route.deaf) = (muted, deaf);
        }
        self.plan_ways(handle);
    }

    fn bridge(&mut self, name: Name, first: &str, second: &str) {
        let (Some(first), Some(second)) = (self.streams.handle(first), self.streams.handle(second)) else {
            log::error("bridge_without_streams", &[("bridge", &name)]);
            return;
        };
        self.current = Some(first);
        let bridge = Bridge {
            name: name.clone(),
            first,
            second,
            apart: None,
        };
        let handle = self.bridges.insert(name, Box::new(bridge));
        for (one, other) in [(first, second), (second, first)] {
            if let Some(stream) = self.streams.get_mut(one) {
                stream.route.bridge = Some(handle);
                stream.route.mate = Some(other);
                stream.inbound.cut = false;
            }
        }
        self.plan_ways(first);
    }

    fn unbridge(&mut self, name: &str) {
        if let Some(handle) = self.bridges.handle(name) {
            self.end_recordings_of(Subject::Bridge(handle));
        }
        let Some(bridge) = self.bridges.forget(name).and_then(|handle| self.bridges.remove(handle)) else {
            return;
        };
        self.bring_back(bridge.first);
        for handle in [bridge.first, bridge.second] {
            if let Some(stream) = self.streams.get_mut(handle) {
                stream.route.bridge = None;
                stream.route.mate = None;
                // Nobody is left to let go of what is held.
                stream.outbound.digits.sender.release_all();
            }
            self.plan_ways(handle);
        }
    }

    /// End a stream and what it takes part in. Its sockets close with it.
    pub(super) fn close(&mut self, name: &str) {
        let Some(handle) = self.streams.forget(name) else {
            return;
        };
        self.current = Some(handle);
        let bridge = self.streams.get(handle).and_then(|stream| stream.route.bridge);
        if let Some(bridge) = bridge
            .and_then(|handle| self.bridges.get(handle))
            .map(|bridge| bridge.name.clone())
        {
            self.unbridge(&bridge);
        }
        self.leave_any_mix(handle);
        self.end_recordings_of(Subject::Stream(handle));
        let turn = &self.turn;
        let Some(mut stream) = self.streams.remove(handle) else {
            return;
        };
        end_play(&mut stream, "closed", String::new(), turn);
        stream.report(true, turn);
        stream.sockets.forget(&mut self.wire.net);
        self.turn.outbox.tell(Event::Closed {
            stream: name.to_owned(),
            counters: stream.counters(),
            quality: stream.quality(),
        });
    }

    fn stop(&mut self) {
        let names: Vec<Name> = self.streams.names().cloned().collect();
        for name in names {
            self.close(&name);
        }
        self.stopping = true;
    }
}
