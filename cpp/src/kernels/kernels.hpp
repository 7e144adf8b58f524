#pragma once

// The loops that each instruction set has its own code for. A level's file is compiled with flags
// of its own, so it must not instantiate anything of the standard library: the linker may keep that
// copy for everybody.

#include <cstddef>
#include <cstdint>

#include "vecsmith/cpu.hpp"
#include "vecsmith/table.hpp"
#include "words.hpp"

namespace vecsmith::kernels {

/// What an ASCII byte means to the scanner. Bytes from 0x80 on belong to words.
enum ByteClass : std::uint8_t {
  kSpaceByte = 0,
  kWordByte = 1,
  kPunctuationByte = 2,
  kTriggerByte =
      4,  ///< bit beside the others: an added token may begin here, or it needs the plain path
};

/// Byte classes in the shapes that the levels want them in.
struct ByteClasses {
  std::uint8_t of[128];           ///< ByteClass bits of each ASCII byte
  std::uint8_t word_nibbles[16];  ///< low nibble -> set of high nibbles that make a word byte
  std::uint8_t punctuation_nibbles[16];
  std::uint8_t trigger_nibbles[16];
  bool lowercase;  ///< 'A'..'Z' become 'a'..'z' in place
};

/// Bytes behind the end of a scanned text that may be read, and lower-cased.
inline constexpr std::size_t kScanSlack = 64;
/// Longest text that can be scanned; offsets are 16 bits.
inline constexpr std::size_t kMaxScan = 32768;

/// A number of a kBfloat16 row: a type of its own, since std::uint16_t stands for halves.
struct Bfloat16 {
  std::uint16_t bits;
};

/// Rows of four bits a column, see TableView.
struct Int4Rows {
  const std::uint8_t* codes;
  const std::uint16_t* scales;
  const std::int8_t* levels;
  std::size_t n_groups;  ///< of a row
};

/// Floats of a piece of a row that is cut: four cache lines of them.
inline constexpr std::size_t kPiece = 64;

/// Rows of texts that follow each other: text i has those from ends[i - 1], or `first`, to ends[i].
struct TextRows {
  const void* const* rows;  ///< addresses of first pieces
  const float* weights;     ///< null for ones
  std::size_t first;
  const std::size_t* ends;
  std::size_t n_texts;
  std::size_t n_readable;  ///< rows that will be asked for, from rows[0] on
};

/// Bytes behind UTF-8 that may be written.
inline constexpr std::size_t kUtf8Slack = 64;

/// Codes of 16 bits whose sum is sure to fit 32.
inline constexpr std::size_t kMostCodes = std::size_t{1} << 16;

struct Kernels {
  /// Cuts `text` of `n` bytes into words and punctuation marks, and lower-cases it in place.
  ///
  /// The last byte must be a space. `starts` and `ends` get the offsets of each segment and need
  /// `n + 64` entries; `triggers` gets one bit a byte, ceil(n / 64) words.
  /// Returns the number of segments; `any_trigger` tells whether any bit was set.
  std::size_t (*scan)(unsigned char* text, std::size_t n, const ByteClasses& classes,
                      std::uint16_t* starts, std::uint16_t* ends, std::uint64_t* triggers,
                      bool* any_trigger);

  /// Fills in the keys and lines of `n` words of `text`, and asks for the lines. 16 bytes behind a
  /// word may be read.
  void (*probe_words)(const unsigned char* text, const WordLines& lines, std::size_t n,
                      const WordProbes& probes);
  /// Writes the ids of words [first, last) to *out and moves it behind them, up to a word that is
  /// not known, or not here; returns the number of that word. Touches
  /// kRingSlack entries a word at most.
  std::size_t (*find_words)(const WordProbes& probes, std::size_t first, std::size_t last,
                            std::uint32_t** out);

  /// out[j] = sum over i of rows[i][j] * weights[i], added in order of i in float32, each product
  /// rounded first; `weights` may be null for ones. `rows` are the addresses of rows of at least
  /// `dim` elements; the first `n_readable` >= `n` of them are rows that will be asked for next.
  using Gather = void (*)(const void* const* rows, const float* weights, std::size_t n,
                          std::size_t n_readable, std::size_t dim, float* out);
  Gather gather_f32, gather_f16, gather_bf16, gather_i8;

  /// gather_f32 of rows that are cut into pieces of kPiece columns: `rows` are the addresses of
  /// first pieces, each next piece is `apart` floats further on.
  void (*gather_pieces)(const void* const* rows, std::size_t apart, const float* weights,
                        std::size_t n, std::size_t n_readable, std::size_t dim, float* out);
  /// The same for many texts, but of each row the piece at `offset` floats alone, and of that the
  /// first `dim` columns: the sum of text i goes to out + i * stride.
  void (*gather_piece_of_many)(const TextRows& texts, std::size_t offset, std::size_t dim,
                               std::size_t stride, float* out);

  /// gather_f32 of codes, without their columns' scales. Without weights the sum is whole, in 32
  /// bits and in any order, and rounded once at its end: at most kMostCodes rows.
  Gather gather_i16;

  /// The same where row i begins at table + rows[i] * stride. `dim` <= `stride`.
  void (*sum_f32)(const float* table, std::size_t stride, const std::uint32_t* rows,
                  const float* weights, std::size_t n, std::size_t n_readable, std::size_t dim,
                  float* out);

  /// The same of rows that are decoded on the way: a column is rounded once more after its product
  /// with the weight, so the sum has the bits of the decoded table's. `dim` <= 32 * n_groups.
  void (*sum_i4)(const Int4Rows& table, const std::uint32_t* rows, const float* weights,
                 std::size_t n, std::size_t n_readable, std::size_t dim, float* out);

  /// Divides each entry, rounding once. `by` is from 2^-40 to 2^50.
  void (*divide)(float* x, std::size_t n, float by);

  /// Divides as divide() does, then scales `x` to unit length with the bits of numpy's
  /// x / sqrt(sum(x * x)); false, and only divided, where its float32 square is out of range.
  bool (*normalize)(float* x, std::size_t n, float by);

  /// What an output type makes of a vector, see OutputType.
  void (*round_f16)(const float* x, std::size_t n, std::uint16_t* out);
  void (*round_i8)(const float* x, std::size_t n, std::int8_t* out);
  void (*round_bits)(const float* x, std::size_t n, std::uint8_t flip, std::uint8_t* out);

  /// Writes the UTF-8 of `n` code points to `out` and returns how many bytes that is; a surrogate
  /// gives three bytes. kUtf8Slack bytes more may be written.
  std::size_t (*utf8_of_latin1)(const std::uint8_t* units, std::size_t n, char* out);
  std::size_t (*utf8_of_ucs2)(const std::uint16_t* units, std::size_t n, char* out);
  std::size_t (*utf8_of_ucs4)(const std::uint32_t* units, std::size_t n, char* out);
};

extern const Kernels kBaselineKernels;
#ifdef VECSMITH_NEON
extern const Kernels kNeonKernels;
#endif
#ifdef VECSMITH_X86
extern const Kernels kSse4Kernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

/// Kernels of a level this machine runs.
const Kernels& kernels_of(CpuLevel level);

}  // namespace vecsmith::kernels
