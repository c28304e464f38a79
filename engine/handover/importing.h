// One request on its way through a hand-over: call, offer, room, image, engine.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "engine/handover/image_receiver.h"
#include "engine/handover/importer.h"

namespace braid {

// Kept by its importer and by the callbacks that it waits for. Thread: any.
class Importing : public std::enable_shared_from_this<Importing> {
 public:
  Importing(Importer* owner, RequestHandle handle, GenerateRequest request, std::shared_ptr<HandoverPeer> peer);

  void Start();
  // Ends the request; `tells`: with an event.
  void Cancel(bool tells);
  // The importer goes: nothing of it is touched any more.
  void Abandon();

 private:
  void AnswerOffer(absl::StatusOr<PrefillOffer> offer);
  // All others but OnEvent are called under mutex_.
  void OnOffer(absl::StatusOr<PrefillOffer> offer);
  absl::Status TakeOffer(PrefillOffer offer);
  absl::Status CheckEnd(const PrefillOffer& offer) const;
  void TellToken(const PrefillOffer& offer);
  void AskForRoom();
  void Fetch();
  void OnFetched(absl::Status status);
  void Recompute(const absl::Status& why);
  void SubmitHere();
  void OnEvent(TokenEvent event);
  void ReleaseOffer();
  void ReturnRoom();
  void Leave();
  // Runs `step` under the lock unless all is over.
  template <class Step>
  void Locked(Step step);

  Importer* const owner_;
  const std::shared_ptr<StagingRoom> room_;
  const RequestHandle handle_;
  const std::shared_ptr<HandoverPeer> peer_;
  PrefillCall call_;

  std::mutex mutex_;
  GenerateRequest request_;
  OfferName offer_;                // to be released
  int32_t num_computed_ = 0;
  int64_t image_bytes_ = 0;
  bool has_room_ = false;
  std::optional<ImageReceiver> receiver_;
  CallOff call_off_;               // of what is under way
  std::optional<RequestHandle> engine_handle_;
  int64_t started_ns_ = 0;
  bool over_ = false;
};

}  // namespace braid
