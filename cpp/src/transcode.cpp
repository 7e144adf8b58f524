#include "vecsmith/transcode.hpp"

#include "kernels/kernels.hpp"

namespace vecsmith {

static_assert(utf8_room(0, 1) >= kernels::kUtf8Slack);

std::size_t to_utf8(std::span<const std::uint8_t> latin1, char* out, CpuLevel level) {
  return kernels::kernels_of(level).utf8_of_latin1(latin1.data(), latin1.size(), out);
}

std::size_t to_utf8(std::span<const std::uint16_t> ucs2, char* out, CpuLevel level) {
  return kernels::kernels_of(level).utf8_of_ucs2(ucs2.data(), ucs2.size(), out);
}

std::size_t to_utf8(std::span<const std::uint32_t> ucs4, char* out, CpuLevel level) {
  return kernels::kernels_of(level).utf8_of_ucs4(ucs4.data(), ucs4.size(), out);
}

}  // namespace vecsmith
