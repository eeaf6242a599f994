// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Forwards the plain packets of bridged calls at the network interface, as the media worker asks for it by map entries; see
// src/forward/mod.rs, which writes and reads these structures, and docs/media.md.
//
// One principle: this program does what the worker would do with the packet, or leaves it untouched to the worker (UP). So
// every check below that fails leads up, and nothing is written before the last of them. The one packet that goes neither way
// is the one beyond the flow's limit.
//
// Attached as TCX ingress. UP is "next": programs and filters behind this one, and the sockets, see the packet as ever.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define UP TC_ACT_UNSPEC
#define SECOND 1000000000ULL
/* Larger steps are a source that began anew (RFC 3550 A.1), as in src/rtp/mod.rs; MAX_STEP_S as in src/rtp/sending. */
#define MAX_DROPOUT 3000
#define MAX_MISORDER 100
#define MAX_STEP_S 30
#define TTL 64

struct rtp {
	__u8 first, second;
	__be16 sequence;
	__be32 timestamp, ssrc;
};

#define IP_AT sizeof(struct ethhdr)
#define UDP_AT (IP_AT + sizeof(struct iphdr))
#define RTP_AT (UDP_AT + sizeof(struct udphdr))
#define HEADERS (RTP_AT + sizeof(struct rtp))

/* Addresses, ports and SSRCs are kept as they lie in a packet; other numbers as the processor has them. */
struct key {
	__be32 source, destination;
	__be16 source_port, destination_port;
};

struct rule {
	struct key out;
	/* What the entry was found by. An entry may be given away, and filled anew, while a packet is in hand. */
	struct key in;
	__be32 ssrc_in, ssrc_out;
	__u32 timestamp_offset, rate_hz;
	__u16 sequence_offset, max_octets;
	__u8 payload_type_in, payload_type_out, class, unused;
	/* What is not newer than this stays with the worker: highest sequence number at the start, cycles above. */
	__u32 floor;
	__u32 unused_too;
	/* The time that one packet takes up (src/rtp/flood.rs). */
	__u64 share;
};

struct flow {
	struct rule rule;
	/* Highest sequence number with its cycles, and below it that packet's timestamp: one word, so that it is read whole. */
	__u64 newest;
	__u64 packets, octets, flooded, passed_up;
	__u64 last_at, full_at;
	__u32 transit, jitter, begun, unused;
};

struct way {
	__be32 source, destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, struct flow);
} flows SEC(".maps");

/* By which interface packets between two addresses leave; the worker asks the routes, and again when they change. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct way);
	__type(value, __u32);
} ways SEC(".maps");

/* Until when, in CLOCK_MONOTONIC, the worker stands by its flows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lease SEC(".maps");

static __always_inline __u32 folded(__u32 sum)
{
	sum = (sum & 0xFFFF) + (sum >> 16);
	return (sum & 0xFFFF) + (sum >> 16);
}

static __always_inline __u32 sum_of(const struct iphdr *ip)
{
	const __u16 *words = (const void *)ip;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	return folded(sum);
}

static __always_inline __u32 absolute(__u32 difference)
{
	return (__s32)difference < 0 ? -difference : difference;
}

static __always_inline int has_lease(__u64 now)
{
	__u32 first = 0;
	__u64 *until = bpf_map_lookup_elem(&lease, &first);
	return until && now <= *(volatile __u64 *)until;
}

/* The interface toward `destination`, 0 = not known. */
static __always_inline __u32 way_out(__be32 source, __be32 destination)
{
	struct way way = { source, destination };
	__u32 *interface = bpf_map_lookup_elem(&ways, &way);
	return interface ? *interface : 0;
}

static __always_inline int same(const struct key *one, const struct key *other)
{
	return one->source == other->source && one->destination == other->destination &&
	       one->source_port == other->source_port && one->destination_port == other->destination_port;
}

/* What is learnt from a packet that will be forwarded (RFC 3550 A.8). */
static __always_inline void note(struct flow *flow, const struct rule *rule, __u64 newest, __u32 extended,
				 __u32 timestamp, __u32 octets, __u64 now)
{
	__u32 transit = (__u32)(now / 1000 * rule->rate_hz / 1000000) - timestamp;
	if (flow->begun) {
		__u32 difference = absolute(transit - flow->transit);
		/* Ten seconds and more are a restarted clock, not a late packet. */
		if (difference < 10 * rule->rate_hz)
			flow->jitter += difference - ((flow->jitter + 8) >> 4);
	}
	flow->transit = transit;
	flow->begun = 1;
	/* Unless it is another flow's by now, or another processor was first. */
	if (extended > newest >> 32)
		__sync_val_compare_and_swap(&flow->newest, newest, (__u64)extended << 32 | timestamp);
	flow->last_at = now;
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->octets, octets);
}

static __always_inline int up(struct flow *flow)
{
	__sync_fetch_and_add(&flow->passed_up, 1);
	return UP;
}

SEC("tc")
int forward(struct __sk_buff *skb)
{
	/* Not for this host, of a VLAN whose device is another, or several datagrams in one. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || skb->vlan_present || skb->gso_size)
		return UP;
	if (skb->len <= HEADERS)
		return UP;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (data + HEADERS > end) {
		if (bpf_skb_pull_data(skb, HEADERS))
			return UP;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + HEADERS > end)
			return UP;
	}
	struct iphdr *ip = data + IP_AT;
	struct udphdr *udp = data + UDP_AT;
	struct rtp *rtp = data + RTP_AT;
	if (*(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_UDP)
		return UP;
	/* A fragment, or more to come. */
	if (ip->frag_off & bpf_htons(0x3FFF))
		return UP;

	struct key key = { ip->saddr, ip->daddr, udp->source, udp->dest };
	struct flow *flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		return UP;
	struct rule rule = flow->rule;
	asm volatile("" ::: "memory");
	if (!same(&rule.in, &key))
		return UP;

	/* The lengths agree, and the header is whole: its sum is made anew below, which must not heal it. */
	__u32 total = bpf_ntohs(ip->tot_len);
	if (total + IP_AT != skb->len || bpf_ntohs(udp->len) + sizeof(*ip) != total || sum_of(ip) != 0xFFFF)
		return up(flow);
	__u32 octets = total - (HEADERS - IP_AT);
	/* Version 2 without padding, extension and CSRCs. */
	if (rtp->first != 0x80 || (rtp->second & 0x7F) != rule.payload_type_in || rtp->ssrc != rule.ssrc_in)
		return up(flow);
	if (octets > rule.max_octets)
		return up(flow);

	__u64 newest = *(volatile __u64 *)&flow->newest;
	__u32 highest = newest >> 32, extended;
	__u32 timestamp = bpf_ntohl(rtp->timestamp);
	__u16 sequence = bpf_ntohs(rtp->sequence), step = sequence - (__u16)highest;
	if (step < MAX_DROPOUT)
		extended = highest + step;
	else if (step > 0xFFFF - MAX_MISORDER)
		extended = highest - (0x10000 - step);
	else
		return up(flow);
	if (extended <= rule.floor || absolute(timestamp - (__u32)newest) > MAX_STEP_S * rule.rate_hz)
		return up(flow);

	__u64 now = bpf_ktime_get_ns();
	if (!has_lease(now))
		return up(flow);
	/* It came by the interface that leads to whom it says it is of: else the host's own checks shall judge it. */
	if (way_out(key.destination, key.source) != skb->ifindex)
		return up(flow);
	__u32 interface = way_out(rule.out.source, rule.out.destination), mtu = 0;
	if (!interface || bpf_check_mtu(skb, interface, &mtu, 0, 0))
		return up(flow);

	__u64 full_at = flow->full_at;
	full_at = (full_at > now ? full_at : now) + rule.share;
	if (full_at - now > (rule.share > SECOND ? rule.share : SECOND)) {
		__sync_fetch_and_add(&flow->flooded, 1);
		return TC_ACT_SHOT;
	}
	flow->full_at = full_at;
	note(flow, &rule, newest, extended, timestamp, octets, now);

	/* From here on the packet is changed, and cannot go up any more. */
	__u32 addresses[2] = { key.source, key.destination }, before[4], after[4];
	before[0] = *(__u32 *)udp;
	__builtin_memcpy(before + 1, rtp, sizeof(*rtp));
	udp->source = rule.out.source_port;
	udp->dest = rule.out.destination_port;
	rtp->second = (rtp->second & 0x80) | rule.payload_type_out;
	rtp->sequence = bpf_htons(sequence + rule.sequence_offset);
	rtp->timestamp = bpf_htonl(timestamp + rule.timestamp_offset);
	rtp->ssrc = rule.ssrc_out;
	after[0] = *(__u32 *)udp;
	__builtin_memcpy(after + 1, rtp, sizeof(*rtp));

	ip->saddr = rule.out.source;
	ip->daddr = rule.out.destination;
	ip->ttl = TTL;
	ip->tos = rule.class;
	/* As a socket sends it: not to be fragmented, so that nothing hangs on the peer's choice of numbers. */
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->check = 0;
	ip->check = ~sum_of(ip);

	/* Changed by the difference: what was damaged on the way stays recognizable. 0 = there is none, and MANGLED_0 leaves it. */
	__s64 changed = bpf_csum_diff(before, sizeof(before), after, sizeof(after), 0);
	__s64 moved = bpf_csum_diff(addresses, 8, (__be32 *)&rule.out, 8, 0);
	__u32 at = UDP_AT + __builtin_offsetof(struct udphdr, check);
	if (bpf_l4_csum_replace(skb, at, 0, changed, BPF_F_MARK_MANGLED_0) ||
	    bpf_l4_csum_replace(skb, at, 0, moved, BPF_F_MARK_MANGLED_0 | BPF_F_PSEUDO_HDR))
		return TC_ACT_SHOT;
	return bpf_redirect_neigh(interface, 0, 0, 0);
}

char its_license[] SEC("license") = "Dual MIT/GPL";
/* What this object was made of and by which compiler; tests/unit/media/test_forward_object.py compares. */
char its_sources[] SEC("sources") = SOURCES;
char its_compiler[] SEC("compiler") = __VERSION__;
