// How near encoding comes to what the memory of this machine allows, on one thread:
//
//   seconds = rows / rate of random rows + bytes / rate of the scan + output / rate of writing
//
// Every rate is measured here, in turn with encoding itself, on the same texts and the same table.
//
//   roofline VOCABULARY TEXTS DIM ROUNDS        (a token, a text a line; prints one JSON object)

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernels.hpp"
#include "vecsmith/encoder.hpp"

namespace {

using namespace vecsmith;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<std::string> lines_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (lines.empty()) {
    std::fprintf(stderr, "no lines in %s\n", path);
    std::exit(2);
  }
  return lines;
}

TokenizerSettings bert(const std::vector<std::string>& tokens) {
  WordPieceSettings model;
  model.tokens = tokens;
  for (std::uint32_t id = 0; id < tokens.size(); ++id) {
    model.ids.push_back(id);
    if (tokens[id] == "[UNK]") model.unk_id = id;
  }
  return {{normalizers::Bert{}}, {splitters::Bert{}}, model, {}};
}

std::vector<float> random_rows(std::size_t n) {
  std::mt19937 engine(1);
  std::vector<float> rows(n);
  for (float& x : rows) x = static_cast<float>(engine() >> 8U) * 0x1p-24F - 0.5F;
  return rows;
}

// Sums of rows at these addresses, text by text, into one reused vector.
double seconds_of_rows(const kernels::Kernels& kernels, const std::vector<const void*>& addresses,
                       const std::vector<std::size_t>& ends, std::size_t dim, float* vector) {
  const double start = now();
  std::size_t first = 0;
  for (const std::size_t end : ends) {
    kernels.gather_f32(addresses.data() + first, nullptr, end - first, addresses.size() - first,
                       dim, vector);
    first = end;
  }
  return now() - start;
}

// The scan alone, over windows of the first level cache's size that hold the texts.
double seconds_of_scan(const kernels::Kernels& kernels, const std::vector<std::string>& texts) {
  constexpr std::size_t kWindow = 2048;
  kernels::ByteClasses classes{};
  for (unsigned b = 0; b < 128; ++b) {
    const bool is_space = b <= 32;
    const bool is_word = (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
    classes.of[b] = is_space  ? std::uint8_t{kernels::kSpaceByte}
                    : is_word ? std::uint8_t{kernels::kWordByte}
                              : std::uint8_t{kernels::kPunctuationByte};
    const auto high = static_cast<std::uint8_t>(1U << (b >> 4U));
    if (is_word) classes.word_nibbles[b & 15U] |= high;
    if (!is_space && !is_word) classes.punctuation_nibbles[b & 15U] |= high;
  }
  classes.lowercase = true;
  alignas(64) static unsigned char window[kWindow + kernels::kScanSlack];
  static std::uint16_t starts[kWindow + 64];
  static std::uint16_t ends[kWindow + 64];
  static std::uint64_t triggers[kWindow / 64 + 1];
  bool any = false;
  std::size_t used = 0;
  const double start = now();
  const auto drain = [&] {
    if (used == 0) return;
    window[used++] = ' ';
    kernels.scan(window, used, classes, starts, ends, triggers, &any);
    used = 0;
  };
  for (const std::string& text : texts) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t take = std::min(kWindow - 1 - used, text.size() - at);
      std::memcpy(window + used, text.data() + at, take);
      used += take;
      at += take;
      if (used >= kWindow - 64) drain();
    }
  }
  drain();
  return now() - start;
}

double seconds_of_writing(std::vector<float>& out, std::size_t dim) {
  const std::vector<float> vector(dim, 1.0F);
  const double start = now();
  for (std::size_t at = 0; at + dim <= out.size(); at += dim) {
    std::memcpy(out.data() + at, vector.data(), dim * sizeof(float));
  }
  return now() - start;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: roofline VOCABULARY TEXTS DIM ROUNDS\n");
    return 2;
  }
  const std::vector<std::string> tokens = lines_of(argv[1]);
  const std::vector<std::string> texts = lines_of(argv[2]);
  const auto dim = static_cast<std::size_t>(std::atol(argv[3]));
  const auto n_rounds = static_cast<std::size_t>(std::max(1L, std::atol(argv[4])));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::size_t n_bytes = 0;
  for (const std::string_view text : views) n_bytes += text.size();

  const std::vector<float> rows = random_rows(tokens.size() * dim);
  const TableView table{
      .rows = rows.data(), .n_rows = tokens.size(), .dim = dim, .n_tokens = tokens.size()};
  const Tokenizer tokenizer(bert(tokens));
  const Encoder encoder(tokenizer, table);
  const kernels::Kernels& kernels = kernels::kernels_of(best_cpu_level());
  const Pooling pooling{.dim = dim, .normalize = true};

  IdBuffer ids;
  std::vector<std::size_t> ends;
  tokenizer.encode(views, {}, ids, ends);
  // The rows a text asks for, where they would best lie: side by side, the frequent ones first.
  std::vector<std::uint32_t> uses(tokens.size());
  for (const std::uint32_t id : ids.slice(0, ids.size())) ++uses[id];
  std::vector<std::uint32_t> order(tokens.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return uses[a] > uses[b]; });
  std::vector<std::uint32_t> place(tokens.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  auto* const packed = static_cast<float*>(std::aligned_alloc(64, rows.size() * sizeof(float)));
  if (packed == nullptr) return 3;
  std::memcpy(packed, rows.data(), rows.size() * sizeof(float));
  std::vector<const void*> real;
  std::vector<const void*> uniform;
  std::mt19937 engine(2);
  for (const std::uint32_t id : ids.slice(0, ids.size())) {
    real.push_back(packed + std::size_t{place[id]} * dim);
    uniform.push_back(packed + engine() % tokens.size() * dim);
  }

  std::vector<float> out(views.size() * dim);
  std::vector<float> vector(dim);
  encoder.encode(views, {}, pooling, 1, out.data());
  std::vector<double> all;
  std::vector<double> of_rows;
  std::vector<double> of_uniform;
  std::vector<double> of_scan;
  std::vector<double> of_writing;
  for (std::size_t round = 0; round < n_rounds; ++round) {
    const double start = now();
    encoder.encode(views, {}, pooling, 1, out.data());
    all.push_back(now() - start);
    of_rows.push_back(seconds_of_rows(kernels, real, ends, dim, vector.data()));
    of_uniform.push_back(seconds_of_rows(kernels, uniform, ends, dim, vector.data()));
    of_scan.push_back(seconds_of_scan(kernels, texts));
    of_writing.push_back(seconds_of_writing(out, dim));
  }
  const double floor = median(of_rows) + median(of_scan) + median(of_writing);
  std::printf(
      "{\"texts\": %zu, \"bytes\": %zu, \"rows\": %zu, \"dim\": %zu, \"seconds\": %.6g, "
      "\"row_seconds\": %.6g, \"uniform_row_seconds\": %.6g, \"scan_seconds\": %.6g, "
      "\"write_seconds\": %.6g, \"share\": %.4f}\n",
      views.size(), n_bytes, ids.size(), dim, median(all), median(of_rows), median(of_uniform),
      median(of_scan), median(of_writing), floor / median(all));
  std::free(packed);
  return 0;
}
