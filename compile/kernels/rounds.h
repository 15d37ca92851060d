// How threads share a call: in rounds, each of which first makes ready what it reads (its sources), then computes.
//
// What another core wrote last is slow to read and to write, where cores do not share a cache very slow. So a thread has
// rounds of its own as long as there are any, and the calling thread takes them from the front, the others from the back,
// in every call: of two threads one has the upper half of the images all through the network, and reads what it wrote.
// Who gets no round helps with those of others. Who had one does so only where little has to be fetched for it: to help
// at the end would make the owner slower in the next call too, and so be needed again.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "graph_conv.h"

namespace rgp {

// At least so many, where a round may be any size: one for each of two threads, and hardly slower on one.
constexpr int64_t kRounds = 2;

struct Rounds {
  int64_t count, sources, outputs;  // rounds, and of each the tasks of both kinds

  // Threads that may find work. Memory of a round is needed once for each thread that may have one: `slots`.
  int64_t workers() const {
    static const int64_t cores = std::min<int64_t>(std::max<int64_t>(std::thread::hardware_concurrency(), 4), 64);
    return std::min(cores, count * std::max(sources, outputs));
  }
  int64_t slots() const { return std::min(workers(), count); }

  // Calls source(round, task, slot, worker) and output(..) for all tasks. A round keeps its slot to its end, and calls
  // of one worker do not overlap.
  template <class Source, class Output>
  void run(const ParallelFor& parallel_for, const Source& source, const Output& output) const {
    struct alignas(128) Round {  // cores fetch lines by pairs
      std::atomic<int64_t> slot{-1}, next_source{0}, ready{0}, next_output{0};
    };
    std::vector<Round> rounds(count);
    std::atomic<int64_t> taken{0}, from_front{0}, from_back{0}, others{0}, owners{0}, helpers{0};
    const std::thread::id caller = std::this_thread::get_id();
    static std::atomic<uint64_t> calls{0};
    const uint64_t call = ++calls;
    const auto wait = [](const std::atomic<int64_t>& number, int64_t until) {
      while (number.load(std::memory_order_acquire) < until) std::this_thread::yield();
    };
    parallel_for(workers(), [&](size_t) {
      static thread_local uint64_t last_call = 0;
      if (last_call == call) return;  // a thread works once
      last_call = call;
      // its memory too should be what it had in the last call
      const bool front = std::this_thread::get_id() == caller;
      int64_t worker = front ? 0 : -1, own = -1;
      const auto join = [&](int64_t index) {
        Round& round = rounds[index];
        if (worker < 0) worker = workers() - 1 - others++;
        wait(round.slot, 0);
        const int64_t slot = round.slot.load(std::memory_order_relaxed);
        for (int64_t task = round.next_source++; task < sources; task = round.next_source++) {
          source(index, task, slot, worker);
          round.ready.fetch_add(1, std::memory_order_release);
        }
        wait(round.ready, sources);  // all are claimed: a thread is at work on each
        for (int64_t task = round.next_output++; task < outputs; task = round.next_output++)
          output(index, task, slot, worker);
      };
      while (taken++ < count) {
        const int64_t index = front ? from_front++ : count - 1 - from_back++;
        if (own < 0) own = front ? 0 : slots() - 1 - owners++;
        rounds[index].slot.store(own, std::memory_order_release);
        join(index);
      }
      const int64_t first = helpers++;  // each helps another one
      for (int64_t at = first; at < first + count; ++at) {
        const Round& round = rounds[at % count];
        const bool worth = sources && own >= 0 ? round.next_source.load(std::memory_order_relaxed) < sources
                                               : 2 * round.next_output.load(std::memory_order_relaxed) < outputs;
        if (worth) join(at % count);
      }
    });
  }
};

}  // namespace rgp
