// From a dense weight to strips: outputs that read the same inputs together, their weights in the order of use.
#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>

#include "graph_conv.h"

namespace rgp {
namespace {

constexpr size_t kMostJoined = 1024;  // sets: so many have no structure, and every pair would be compared
constexpr int64_t kOnePanel = int64_t{1} << 62;  // not float32: sums that go on would need a place of their own
constexpr int64_t kPanelBytes = 80 << 10;  // measured: smaller panels pay more for going on with sums than caches give

void check(const Geometry& g) {
  const std::pair<const char*, int64_t> sides[] = {{"channels", g.channels}, {"outputs", g.outputs},
      {"kernel height", g.kernel_h}, {"kernel width", g.kernel_w}, {"stride", g.stride_h}, {"stride", g.stride_w}};
  constexpr int64_t most = 1 << 24;
  for (const auto& [name, value] : sides)
    if (value < 1 || value > most) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value));
  for (int64_t pad : {g.top, g.left, g.bottom, g.right})
    if (pad < 0 || pad > most) throw std::invalid_argument("padding is " + std::to_string(pad));
}

using Bits = std::vector<uint64_t>;

// A weight in words, and what decides whether one is zero: of a float all bits but the sign.
struct Words {
  const float* weight;
  uint32_t counts;

  bool any(const float* from, int64_t count) const {
    return std::any_of(from, from + count, [this](const float& word) {
      uint32_t bits;
      std::memcpy(&bits, &word, sizeof(bits));
      return (bits & counts) != 0;
    });
  }
};

// Which input channels output `o` reads: those with any weight that is not zero (NaN counts as one).
Bits reads(const Geometry& g, const Words& words, int64_t o) {
  const int64_t taps = g.kernel_h * g.kernel_w;
  Bits found((g.channels + 63) / 64);
  for (int64_t c = 0; c < g.channels; ++c) {
    if (words.any(words.weight + (o * g.channels + c) * taps, taps)) found[c / 64] |= uint64_t{1} << c % 64;
  }
  return found;
}

int64_t count(const Bits& bits) {
  int64_t found = 0;
  for (uint64_t word : bits) found += __builtin_popcountll(word);
  return found;
}

// Outputs that are computed together, and the channels that they read.
struct Twins {
  Bits reads;
  int64_t least;  // read by one of the outputs, the others read more
  std::vector<int32_t> outputs, channels;
};

// Outputs that read the same channels, or nearly: a few zeros inside a block (a small weight that was dropped) must not
// tear it apart, so a set joins others if together they read at most an eighth more than the least of them.
std::vector<Twins> all_twins(const Geometry& g, const Words& words) {
  std::map<Bits, std::vector<int32_t>> same;
  for (int64_t o = 0; o < g.outputs; ++o) same[reads(g, words, o)].push_back(static_cast<int32_t>(o));
  std::vector<Twins> found;
  const bool joins = same.size() <= kMostJoined;
  for (const auto& [bits, outputs] : same) {
    const int64_t own = count(bits);
    Bits both(bits.size());
    const auto home = !joins ? found.end() : std::find_if(found.begin(), found.end(), [&](const Twins& other) {
      const int64_t most = std::min(own, other.least) * 9 / 8;
      int64_t together = 0;
      for (size_t i = 0; i < bits.size() && together <= most; ++i)
        together += __builtin_popcountll(both[i] = bits[i] | other.reads[i]);
      return together <= most;
    });
    if (home == found.end()) {
      found.push_back({bits, own, outputs, {}});
      continue;
    }
    home->reads = both;
    home->least = std::min(home->least, own);
    home->outputs.insert(home->outputs.end(), outputs.begin(), outputs.end());
  }
  for (Twins& each : found) {
    std::sort(each.outputs.begin(), each.outputs.end());
    for (int32_t c = 0; c < g.channels; ++c)
      if (each.reads[c / 64] >> c % 64 & 1) each.channels.push_back(c);
  }
  // in the order of what is read: neighbours share pixels
  std::sort(found.begin(), found.end(), [](const Twins& a, const Twins& b) { return a.channels < b.channels; });
  return found;
}

// The most rows that a strip of so many twins has.
int most_rows(bool by_tap, size_t twins) {
  int rows = by_tap ? kMaxRows : kMaxRows / 2;
  while (static_cast<size_t>(rows) > twins) rows /= 2;
  return rows;
}

// Vectors of pixels that are taken at once in a 1x1 convolution: enough sums to hide the latency of a multiply-add, few
// enough that a panel has many channels.
int panel_vectors(const Kernels& kernels, int rows) {
  const int wanted = rows == 8 ? 3 : rows == 1 ? 8 : 6;
  return std::min(wanted, kernels.most_vectors(rows));
}

// The channels of each word, so that few outputs read any of them: first those with the same readers, then, of what is
// left over, those that share the most. A strip multiplies whole words, so every reader that they share saves one.
// `counts`: the bits that make a number other than zero.
template <class Number>
std::vector<int32_t> all_members(const Geometry& g, const Number* weight, unsigned counts, size_t together) {
  const int64_t taps = g.kernel_h * g.kernel_w;
  std::map<Bits, std::vector<int32_t>> same;
  for (int64_t c = 0; c < g.channels; ++c) {
    Bits readers((g.outputs + 63) / 64);
    for (int64_t o = 0; o < g.outputs; ++o) {
      const Number* w = weight + (o * g.channels + c) * taps;
      if (std::any_of(w, w + taps, [&](Number each) { return (each & counts) != 0; }))
        readers[o / 64] |= uint64_t{1} << o % 64;
    }
    same[readers].push_back(static_cast<int32_t>(c));
  }
  std::vector<int32_t> members;
  std::vector<std::pair<Bits, int32_t>> left;
  for (const auto& [readers, channels] : same) {
    const size_t whole = channels.size() / together * together;
    members.insert(members.end(), channels.begin(), channels.begin() + whole);
    for (size_t i = whole; i < channels.size(); ++i) left.emplace_back(readers, channels[i]);
  }
  if (left.size() > kMostJoined) {  // no structure, and every pair would be compared
    for (const auto& each : left) members.push_back(each.second);
    return members;
  }
  while (!left.empty()) {
    Bits both = left.front().first;
    members.push_back(left.front().second);
    left.erase(left.begin());
    for (size_t i = 1; i < together && !left.empty(); ++i) {
      const auto joined = [&](const Bits& bits) {
        int64_t readers = 0;
        for (size_t word = 0; word < bits.size(); ++word) readers += __builtin_popcountll(both[word] | bits[word]);
        return readers;
      };
      const auto best = std::min_element(left.begin(), left.end(), [&](const auto& a, const auto& b) {
        return joined(a.first) < joined(b.first);
      });
      for (size_t word = 0; word < both.size(); ++word) both[word] |= best->first[word];
      members.push_back(best->second);
      left.erase(best);
    }
  }
  return members;
}

// (O, C, kh, kw) numbers as (O, words, kh, kw) words of those channels; what a word lacks is zero.
template <class Number>
std::vector<float> in_words(const Geometry& g, const Number* weight, const std::vector<int32_t>& members) {
  constexpr size_t kTogether = sizeof(float) / sizeof(Number);
  const int64_t taps = g.kernel_h * g.kernel_w, words = (g.channels + kTogether - 1) / kTogether;
  std::vector<Number> numbers(g.outputs * words * taps * kTogether);
  for (int64_t o = 0; o < g.outputs; ++o)
    for (size_t at = 0; at < members.size(); ++at)
      for (int64_t tap = 0; tap < taps; ++tap)
        numbers[((o * words + at / kTogether) * taps + tap) * kTogether + at % kTogether] =
            weight[(o * g.channels + members[at]) * taps + tap];
  std::vector<float> found(numbers.size() / kTogether);
  std::memcpy(found.data(), numbers.data(), found.size() * sizeof(float));
  return found;
}

void add(Layer& layer, const float* weight, const float* bias, const std::vector<int32_t>& channels,
         const int32_t* outputs, int rows) {
  const Geometry& g = layer.geometry;
  Strip strip{rows, static_cast<int>(channels.size()), {}, layer.channels.size() - channels.size(),
              layer.weights.size(), layer.cuts.size(), {}, {}};
  for (int r = 0; r < rows; ++r) {
    strip.outputs[r] = outputs[r];
    strip.bias[r] = bias ? bias[outputs[r]] : 0;
  }
  for (int panel = 0; panel <= layer.panels; ++panel) {
    const int64_t first = g.channels * panel / layer.panels;
    layer.cuts.push_back(std::lower_bound(channels.begin(), channels.end(), first) - channels.begin());
  }
  const auto push = [&](int32_t c, int64_t i, int64_t j) {
    for (int r = 0; r < rows; ++r)
      layer.weights.push_back(weight[((outputs[r] * g.channels + c) * g.kernel_h + i) * g.kernel_w + j]);
  };
  if (layer.by_tap) {
    for (int64_t i = 0; i < g.kernel_h; ++i)
      for (int64_t j = 0; j < g.kernel_w; ++j)
        for (int32_t c : channels) push(c, i, j);
  } else {
    for (int32_t c : channels)
      for (int64_t j = 0; j < g.kernel_w; ++j)
        for (int64_t i = 0; i < g.kernel_h; ++i) push(c, i, j);
  }
  layer.strips.push_back(strip);
}

Layer built(const Geometry& g, const Kernels& kernels, const Words& words, const float* bias, float low, float high,
            int64_t panel_bytes) {
  check(g);
  Layer layer{g, low, high, true, 0, 1, {}, {}, {}, {}};
  const std::vector<Twins> twins = all_twins(g, words);
  layer.by_tap = kernels.most_vectors(kMaxRows) > 1;
  for (const Twins& each : twins) layer.by_tap &= each.outputs.size() % kMaxRows == 0;
  if (g.kernel_h == 1 && g.kernel_w == 1) {
    layer.panel_vectors = kMaxVectors;
    for (const Twins& each : twins)
      layer.panel_vectors =
          std::min(layer.panel_vectors, panel_vectors(kernels, most_rows(layer.by_tap, each.outputs.size())));
    const int64_t bytes = layer.panel_vectors * kernels.lanes * static_cast<int64_t>(sizeof(float));
    layer.panels = static_cast<int>(1 + (g.channels * bytes - 1) / panel_bytes);
  }
  for (const Twins& each : twins) {
    const auto& [channels, outputs] = std::tie(each.channels, each.outputs);
    layer.channels.insert(layer.channels.end(), channels.begin(), channels.end());
    for (size_t done = 0; done < outputs.size();) {
      const int rows = most_rows(layer.by_tap, outputs.size() - done);
      add(layer, words.weight, bias, channels, outputs.data() + done, rows);
      done += rows;
    }
  }
  return layer;
}

// A layer whose words hold several channels. `counts`: the bits that make a number other than zero.
template <class Number>
Layer several(const Geometry& g, const Kernels& kernels, const Number* weight, unsigned counts, const float* bias,
              float low, float high) {
  constexpr int kTogether = sizeof(float) / sizeof(Number);
  check(g);
  std::vector<int32_t> members = all_members(g, weight, counts, kTogether);
  const std::vector<float> words = in_words(g, weight, members);
  Geometry of_words = g;
  of_words.channels = (g.channels + kTogether - 1) / kTogether;
  uint32_t all = 0;
  for (int i = 0; i < kTogether; ++i) all |= counts << (32 / kTogether * i);
  Layer layer = built(of_words, kernels, {words.data(), all}, bias, low, high, kOnePanel);
  layer.together = kTogether;
  layer.inputs = g.channels;
  members.resize(of_words.channels * kTogether, members[(of_words.channels - 1) * kTogether]);
  layer.members = std::move(members);
  return layer;
}

}  // namespace

int64_t output_side(int64_t side, int64_t before, int64_t after, int64_t kernel, int64_t stride) {
  const int64_t room = side + before + after - kernel;
  return room < 0 ? 0 : room / stride + 1;
}

Layer make_layer(const Geometry& g, const Kernels& kernels, const float* weight, const float* bias, float low,
                 float high) {
  Layer layer = built(g, kernels, {weight, 0x7fffffff}, bias, low, high, kPanelBytes);
  constexpr Image large{1, 64, 64, 64, 64};
  if (winograd_fits(layer, kernels, large)) add_winograd(layer);  // run() then looks at the size
  return layer;
}

Layer make_bf16_layer(const Geometry& g, const Kernels& kernels, const uint16_t* weight, const float* bias, float low,
                      float high) {
  return several(g, kernels, weight, 0x7fff, bias, low, high);
}

Layer make_int8_layer(const Geometry& g, const Kernels& kernels, const Int8& numbers) {
  check(g);
  // for each output its bias less what the zero point adds to the sum
  const int64_t reads = g.channels * g.kernel_h * g.kernel_w;
  std::vector<float> bias(g.outputs);
  for (int64_t o = 0; o < g.outputs; ++o) {
    uint32_t sum = numbers.bias ? numbers.bias[o] : 0;  // int32 wraps, as it does where the sums are made
    for (int64_t i = 0; i < reads; ++i) sum -= static_cast<uint32_t>(numbers.weight[o * reads + i] * numbers.x_zero);
    std::memcpy(&bias[o], &sum, sizeof(sum));
  }
  Layer layer = several(g, kernels, numbers.weight, 0xff, bias.data(), 0, 0);
  layer.x_zero = numbers.x_zero;
  layer.y_zero = numbers.y_zero;
  layer.small = std::all_of(numbers.scale, numbers.scale + g.outputs, [](float each) { return each <= 0.5f; });
  for (Strip& strip : layer.strips)
    for (int r = 0; r < strip.rows; ++r) strip.scale[r] = numbers.scale[strip.outputs[r]];
  return layer;
}

}  // namespace rgp
