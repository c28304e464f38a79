// Other processes as the importer sees them, over handover.proto.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/handover/handover_peer.h"
#include "server/peer_key.h"

namespace braid {

// One peer for each address that was asked for. Thread: any.
class PeerDirectory {
 public:
  static constexpr size_t kMaxPeers = 256;  // kept; the first of them goes for the next

  explicit PeerDirectory(std::shared_ptr<PeerKey> key) : key_(std::move(key)) {}

  // `address`: HOST:PORT of its gRPC door. Connects when it is first used.
  std::shared_ptr<HandoverPeer> At(const std::string& address);

 private:
  const std::shared_ptr<PeerKey> key_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<HandoverPeer>> peers_;
};

}  // namespace braid
